"""How mail is read."""

from email.message import EmailMessage

import pytest

from indexer.parsing import media_types, parse_document
from tests.unit.indexer import made


def mail(body: str = "The body.", subject: str = "Prices") -> EmailMessage:
    """Return a mail without attachments."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "Ilse <i@x.org>", "o@x.org", subject
    message["Date"] = "Fri, 16 Dec 2022 17:04:16 -0500"
    message.set_content(body)
    return message


HEAD = "Subject: Prices\nFrom: Ilse <i@x.org>\nTo: o@x.org\nDate: Fri, 16 Dec 2022 17:04:16 -0500"


def test_headers_and_body() -> None:
    """Who wrote what to whom and when is part of the text; the subject is the title."""
    document = parse_document(mail().as_bytes(), filename=None)
    assert document.text == f"{HEAD}\n\nThe body."
    assert (document.title, document.media_type) == ("Prices", media_types.EML)


def test_plain_alternative_is_read_once() -> None:
    """Of text and HTML that say the same, one is read."""
    message = mail()
    message.add_alternative("<p>The <b>body</b>.</p>", subtype="html")
    assert parse_document(message.as_bytes(), filename=None).text == f"{HEAD}\n\nThe body."


def test_html_body() -> None:
    """A mail of HTML alone is read as HTML."""
    message = mail()
    message.set_content("<p>Größe <b>5</b></p><script>x</script>", subtype="html")
    assert parse_document(message.as_bytes(), filename=None).text == f"{HEAD}\n\nGröße 5"


def test_attachments_are_read() -> None:
    """Each attachment's text stands under its name; one that can not be read is named."""
    message = mail()
    pdf = made.pdf_of([["Pumps cost 30."]])
    message.add_attachment(pdf, maintype="application", subtype="pdf", filename="list.pdf")
    message.add_attachment(b"\x89PNG\r\n\x1a\n", maintype="image", subtype="png", filename="logo.png")
    message.add_attachment("# Top\n\ntext", filename="a.md")
    document = parse_document(message.as_bytes(), filename=None)
    assert document.text == (
        f"{HEAD}\n\nThe body.\n\nAttachment: list.pdf\n\nPumps cost 30.\n\n"
        "Attachment: logo.png\n\nAttachment: a.md\n\n# Top\n\ntext"
    )
    assert [(heading.level, heading.title) for heading in document.headings] == [
        (1, "Attachment: list.pdf"),
        (1, "Attachment: logo.png"),
        (1, "Attachment: a.md"),
        (2, "Top"),
    ]
    assert document.text[document.headings[-1].start :].startswith("# Top")


def test_forwarded_mail_is_read() -> None:
    """A mail inside the mail is an attachment."""
    message = mail()
    message.add_attachment(mail("Inner body.", "Inner"))
    text = parse_document(message.as_bytes(), filename=None).text
    assert "Attachment: Inner.eml" in text
    assert text.endswith("Inner body.")


def test_mails_inside_mails_end() -> None:
    """Only a few mails deep are opened."""
    message = mail("body 0")
    for depth in range(1, 30):
        outer = mail(f"body {depth}")
        outer.add_attachment(message)
        message = outer
    text = parse_document(message.as_bytes(), filename=None).text
    assert "body 29" in text
    assert "body 20" not in text


def test_outlook_message() -> None:
    """Outlook's own format is read, attachments included."""
    data = made.msg_of(
        {
            "0037001F": "Prices".encode("utf-16-le"),
            "0C1A001F": "Ilse".encode("utf-16-le"),
            "1000001F": "Größe 5 kostet 3 €.".encode("utf-16-le"),
        },
        [{"3707001F": "a.txt".encode("utf-16-le"), "37010102": b"attached".ljust(4096)}],
    )
    document = parse_document(data, filename=None)
    assert (
        document.text == "Subject: Prices\nFrom: Ilse\n\nGröße 5 kostet 3 €.\n\nAttachment: a.txt\n\nattached"
    )
    assert (document.title, document.media_type) == ("Prices", media_types.MSG)


def test_html_is_read_where_the_plain_alternative_is_blank() -> None:
    """Some programs send an empty text beside the HTML that has the message."""
    message = mail(" \n\u00a0\n")
    message.add_alternative("<p>The <b>body</b>.</p>", subtype="html")
    assert parse_document(message.as_bytes(), filename=None).text == f"{HEAD}\n\nThe body."


@pytest.mark.parametrize("name", [b"utf\x008", b"no-such", b"base64"])
def test_a_charset_that_is_none_does_not_hide_the_mail(name: bytes) -> None:
    """The text is decoded by what it looks like."""
    fields = b'From: a@b.c\nTo: d@e.f\nSubject: Ice\nContent-Type: text/plain; charset="' + name + b'"\n\n'
    assert "The ice holds." in parse_document(fields + b"The ice holds.", filename="a.eml").text


def test_damaged_attachment_does_not_hide_the_mail() -> None:
    """An attachment that can not even be told what it is, is named, and the body is read."""
    message = mail()
    message.add_attachment(
        made.damaged_odt(), maintype="application", subtype="octet-stream", filename="a.odt"
    )
    assert (
        parse_document(message.as_bytes(), filename=None).text == f"{HEAD}\n\nThe body.\n\nAttachment: a.odt"
    )
