"""Facts that everybody knows: closed-book questions that even a small model may answer.

Beside the refusals of what it does not hold, they keep it from refusing everything that is asked
without documents. The facts are general knowledge, written down for this project.
"""

from collections.abc import Iterator
from itertools import chain

from posttrain.data.reading import Source, split_of
from rag_service.answering.conversation import Meta, Record, assistant, user

SOURCE = Source("general knowledge, written down by this project", "Apache-2.0")
_CAPITALS = (
    "France Paris;Germany Berlin;Italy Rome;Spain Madrid;Japan Tokyo;China Beijing;Russia Moscow;Egypt Cairo;"
    "Greece Athens;India New_Delhi;Canada Ottawa;Australia Canberra;Brazil Brasília;Mexico Mexico_City;"
    "England London;Ireland Dublin;Portugal Lisbon;Austria Vienna;Poland Warsaw;Sweden Stockholm;"
    "Norway Oslo;Denmark Copenhagen;Finland Helsinki;Turkey Ankara;Cuba Havana;Peru Lima;Chile Santiago;"
    "Kenya Nairobi;Iran Tehran;Iraq Baghdad;Thailand Bangkok;Argentina Buenos_Aires;Hungary Budapest"
)
_CAPITAL_FORMS = ("What is the capital of {}?", "what's the capital city of {}", "Name the capital of {}.")
_FACTS = (
    ("What is the largest planet of the solar system?", "Jupiter"),
    ("Which planet is closest to the Sun?", "Mercury"),
    ("Which planet is known as the Red Planet?", "Mars"),
    ("What is the largest ocean on Earth?", "The Pacific Ocean"),
    ("What is the longest river in Africa?", "The Nile"),
    ("What is the highest mountain in the world?", "Mount Everest"),
    ("How many days are in a week?", "Seven"),
    ("How many months are in a year?", "Twelve"),
    ("How many days does a leap year have?", "366"),
    ("How many hours are in a day?", "24"),
    ("How many minutes are in an hour?", "60"),
    ("How many continents are there?", "Seven"),
    ("How many legs does a spider have?", "Eight"),
    ("How many sides does a triangle have?", "Three"),
    ("How many sides does a hexagon have?", "Six"),
    ("What is the chemical formula of water?", "H2O"),
    ("What is the chemical symbol for gold?", "Au"),
    ("What is the chemical symbol for oxygen?", "O"),
    ("Which gas do plants take in from the air?", "Carbon dioxide"),
    ("Which gas do people need to breathe?", "Oxygen"),
    ("At what temperature does water boil at sea level, in degrees Celsius?", "100 degrees Celsius"),
    ("At what temperature does water freeze, in degrees Celsius?", "0 degrees Celsius"),
    ("Who wrote Romeo and Juliet?", "William Shakespeare"),
    ("Who wrote Hamlet?", "William Shakespeare"),
    ("Who painted the Mona Lisa?", "Leonardo da Vinci"),
    ("Who developed the theory of relativity?", "Albert Einstein"),
    ("Who discovered gravity?", "Isaac Newton"),
    ("Who wrote On the Origin of Species?", "Charles Darwin"),
    ("Who was the first president of the United States?", "George Washington"),
    ("Who was the first person on the Moon?", "Neil Armstrong"),
    ("Who invented the telephone?", "Alexander Graham Bell"),
    ("In which year did the Second World War end?", "1945"),
    ("In which year did the First World War begin?", "1914"),
    ("In which year did Columbus reach America?", "1492"),
    ("What is the largest mammal?", "The blue whale"),
    ("What is the fastest land animal?", "The cheetah"),
    ("What is the tallest animal?", "The giraffe"),
    ("What do bees make?", "Honey"),
    ("What is a young dog called?", "A puppy"),
    ("What is a young cat called?", "A kitten"),
    ("Which organ pumps blood through the body?", "The heart"),
    ("Which season follows winter?", "Spring"),
    ("Which day comes after Monday?", "Tuesday"),
    ("Which month comes after March?", "April"),
    ("What color do you get by mixing blue and yellow?", "Green"),
    ("What color is the sky on a clear day?", "Blue"),
    ("What is the opposite of hot?", "Cold"),
    ("What is the opposite of up?", "Down"),
    ("What language is spoken in Brazil?", "Portuguese"),
    ("What language is spoken in Mexico?", "Spanish"),
    ("What is the currency of Japan?", "The yen"),
    ("What is the currency of the United States?", "The dollar"),
    ("In which country is the Eiffel Tower?", "France"),
    ("In which city is the Statue of Liberty?", "New York City"),
    ("In which country are the pyramids of Giza?", "Egypt"),
    ("On which continent is Egypt?", "Africa"),
    ("On which continent is Brazil?", "South America"),
    ("What does a thermometer measure?", "Temperature"),
    ("What is frozen water called?", "Ice"),
    ("What is the star at the centre of the solar system?", "The Sun"),
    ("What force pulls things towards the Earth?", "Gravity"),
    ("What is the process by which plants make food from light?", "Photosynthesis"),
    ("What is the hardest natural substance?", "Diamond"),
    ("What is H2O commonly called?", "Water"),
)


def known_facts() -> Iterator[Record]:
    """Yield the facts as questions without documents; a capital in all its forms falls on one side."""
    capitals = (pair.split() for pair in _CAPITALS.split(";"))
    asked = (
        (country, form.format(country), f"{city.replace('_', ' ')}")
        for country, city in capitals
        for form in _CAPITAL_FORMS
    )
    facts = ((question, question, answer) for question, answer in _FACTS)
    for number, (core, question, answer) in enumerate(chain(asked, facts)):
        yield Record(
            id=f"fact-{number}",
            task="probe_known",
            split=split_of(core, dev_percent=25),
            messages=(user(question), assistant(f"{answer}.")),
            meta=Meta(gold=(answer,), answerable=False, source=SOURCE.name, license=SOURCE.license),
        )
