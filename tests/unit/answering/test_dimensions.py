"""Sums whose numbers fit each other, and sums of whatever stood near."""

import time

import pytest

from rag_service.answering.calculator import calculate
from rag_service.answering.dimensions import holds_together

BURNS = "At normal load Agnes burns 13 litres of diesel an hour."
SHOP = (
    "A woollen hat costs 85 crowns. An enamel mug costs 40 crowns. "
    "A postcard costs 4 crowns. Together these make 7,819,200 crowns."
)
CAMP = "The camp is 86 kilometres inland. A Badger needs nine hours. Days away: 16. It was 1,640 metres high."
BADGER = "A Badger burns 3.1 litres of diesel per kilometre with two sledges."
DRILL = (
    "In the season 2024/25 the hole was 1,131 metres deep; it is to be 1,850 metres. "
    "At the end it was 1,214 metres deep. We drank to the 1,200 mark on 2 February."
)
FLIGHTS = (
    "It is warm enough. 4. The crew stays at seventeen, by twenty-two votes to four. "
    "A seat costs 3,850 crowns one way. Freight costs 14 crowns a kilogram."
)
HATS = "What do three woollen hats and two enamel mugs cost together?"


@pytest.mark.parametrize(
    ("expression", "question", "texts"),
    [
        ("13*24", "How many litres of diesel does Agnes burn in 24 hours?", [BURNS]),
        ("3*85+2*40", HATS, [SHOP]),
        ("3*85+2*40", HATS, ["A hat costs 85, a mug 40 crowns."]),
        ("3.1*86*2", "How much diesel does a Badger need to the camp and back?", [CAMP, BADGER]),
        ("1850-1214", "How many metres are still to be drilled?", [DRILL]),
        ("2025-1985", "How old is the hut in 2025?", ["It was built in 1985."]),
        ("(5+3)*12", "How many eggs are in 5 and 3 boxes?", ["A box holds 12 eggs."]),
        ("40*3", "How far does it go in three hours?", ["The bus goes 40 km/h."]),
        ("5*4", "How many square metres has the room?", ["It is 5 metres wide and 4 metres long."]),
        ("312/24", "How many litres are that an hour?", ["It burnt 312 litres in 24 hours."]),
        ("2*120", "How much are two?", ["A room is $120."]),
        ("90+45", "How many minutes is it in all?", ["It takes 90 minutes, the way home 45 minutes."]),
        ("3.5+2", "How far is it in total?", ["First it is 3.5 km, then 2 kilometers more."]),
        ("4*3", "How much energy is used in three hours?", ["The stove takes 4 kilowatts."]),
        ("85+40", "What do a hat and a mug cost together?", ["A hat costs 85 pounds, a mug 40 pounds."]),
        ("85+40", "What do a hat and a mug cost together?", ["A hat costs 85 zorkmids, a mug 40 zorkmids."]),
        ("200+100", "How many grams are that together?", ["Take 200 g flour and 100 grams of sugar."]),
        ("90+45", "How many minutes is that together?", ["It takes 90 min up and 45 min down."]),
        ("40+30", "How many nautical miles in all?", ["First 40 nautical miles, then 30 nautical miles."]),
        ("12+15", "How many kilometres are both?", ["The two legs are 12 and 15 kilometres long."]),
        ("85+40", "What does it cost for both together?", ["It is 85 for adults and 40 for children."]),
        ("1850+1700", "How many inhabitants in all?", ["One has 1850 inhabitants, one 1700 inhabitants."]),
        ("1850-1700", "How many metres higher is it?", ["It is 1850 metres, in 1850 it was 1700 metres."]),
        ("5**2", "How many square metres is it?", ["It is 5 metres wide and as long."]),
        ("5*4*3", "How many cubic metres is it?", ["It is 5 metres long, 4 metres wide, 3 metres deep."]),
        ("300+40", "What does it cost together?", ["It is 300 dollars, and $40 more at night."]),
        ("300+40", "What does it cost together?", ["It is €300, and 40 euros more at night."]),
        ("12+3", "How many days was the temperature below zero?", ["It froze on 12 days, then 3 days."]),
        ("20+30", "How much salt is it in all?", ["a pinch of salt, 20 grams of salt, 30 grams of salt"]),
        ("13*24", "How much diesel in 24 hours?", ["It burns 13 litres of red diesel an hour."]),
        ("2025-1985", "How many years was it open?", ["Opened in 1985, it was closed in 2025."]),
    ],
)
def test_a_sum_that_holds_together(expression: str, question: str, texts: list[str]) -> None:
    """Equal kinds are added, and the result is what is asked for."""
    assert holds_together([(expression, calculate(expression).result)], question, texts)


@pytest.mark.parametrize(
    ("expression", "question", "texts"),
    [
        ("9*1640+16", "How much diesel does a Badger need to the camp and back?", [CAMP, BADGER]),
        ("9*86*2", "How much diesel does a Badger need to the camp and back?", [CAMP, BADGER]),
        ("3*85+4*40", HATS, [SHOP]),
        ("7819200*85", HATS, [SHOP]),
        ("1200-1131", "How many metres are still to be drilled?", [DRILL]),
        ("1131-2024/25", "How many metres are still to be drilled?", [DRILL]),
        ("90+2", "How long is it altogether?", ["It takes 90 minutes, the way home 2 hours."]),
        ("3*2", HATS, [SHOP]),
        ("17*3850+4*14", "What do all seventeen seats cost in total?", [FLIGHTS]),
        ("9**2", "How many metres is it?", [CAMP]),
        ("48/24", "How many days is it?", ["It takes 48 hours with 24 people."]),
        ("30+20", "What does it cost in total?", ["It is 30 euros, and 20 dollars at night."]),
        ("13*24", "How many kilometres is it in 24 hours?", [BURNS]),
    ],
)
def test_a_sum_of_whatever_stood_near(expression: str, question: str, texts: list[str]) -> None:
    """Hours times metres, money times money, a year's number taken off metres, litres for kilometres."""
    assert not holds_together([(expression, calculate(expression).result)], question, texts)


def test_a_result_is_of_the_kind_that_it_was_computed_as() -> None:
    """So a later sum may go on with it; litres are not added to kilometres."""
    question, texts = "How much diesel is that together?", [BURNS, BADGER, CAMP]
    assert holds_together([("13*24", "312"), ("312+3.1*86", "578.6")], f"{question} In 24 hours?", texts)
    assert not holds_together([("13*24", "312"), ("312+86", "398")], f"{question} In 24 hours?", texts)


def test_a_sum_of_many_numbers_takes_no_time() -> None:
    """Each may be of six kinds, and so may their product."""
    question = "How many are 2 litres, 2 hours, 2 metres, 2 crowns, 2 kilograms and 2 degrees together?"
    began = time.perf_counter()
    assert not holds_together([("*".join("2" * 60), str(2**60))], question, [])
    holds_together([("*".join("2" * 14), str(2**14))], question, [])
    assert time.perf_counter() - began < 2  # seconds; without a limit the second one takes longer
