"""The texts of the demonstration: what customers of a shop for hiking gear write, and what models answer.

Pure: the same random numbers give the same texts.
"""

import json
from random import Random
from typing import NamedTuple

CATEGORIES = ("delivery", "returns", "billing", "product", "account")
MODELS = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4-5", "gemini-2.5-flash")


class Ticket(NamedTuple):
    """What a customer writes, and what is right to answer."""

    customer: str
    message: str
    category: str
    urgency: str  # low, normal or high
    summary: str
    answer: str
    step: str


TICKETS = (
    Ticket(
        "Hanna Berg",
        "My tent was supposed to arrive on Tuesday and the tracking has not moved since. We leave on Saturday!",
        *("delivery", "high", "The tent is three days late and the customer leaves on Saturday."),
        "Your parcel is held up in our carrier's depot in Kassel; it will be with you by Friday noon.",
        "If it has not come by then, reply here and we send another tent by courier at no cost.",
    ),
    Ticket(
        "Luis Ortega",
        "I would like to send back the boots (order 40211). They are half a size too small. How does that work?",
        *("returns", "normal", "The customer wants to return boots that are half a size too small."),
        "You can send the boots back within 60 days, also if you have tried them on indoors.",
        "Print the label under Orders > 40211 > Return and leave the parcel at any post office.",
    ),
    Ticket(
        "Mina Park",
        "You have charged my card twice for the same sleeping bag. 2 x 189.00 on the same day.",
        *("billing", "high", "A sleeping bag was charged twice, 189.00 each."),
        "The second charge of 189.00 is a reservation, which your bank releases within three working days.",
        "Should it still be there on Monday, send us the last four digits of the card.",
    ),
    Ticket(
        "Oskar Lind",
        "Is the Fjell 45 backpack waterproof or do I need a rain cover for two weeks in Scotland?",
        *("product", "low", "The customer asks whether the Fjell 45 backpack needs a rain cover."),
        "The fabric of the Fjell 45 keeps out showers, but its seams are not taped.",
        "For two weeks in Scotland take the rain cover in size M, which fits it.",
    ),
    Ticket(
        "Sofia Rossi",
        "I cannot sign in any more since you changed the site. The password mail never comes.",
        *("account", "normal", "The customer gets no mail to reset the password."),
        "Our mails to your provider were rejected last week, and have been going through again since yesterday.",
        "Please ask for a new password once more, and look into the spam folder as well.",
    ),
    Ticket(
        "Jonas Weiss",
        "The zip of my down jacket broke after four weeks. I wear it every day but that can't be normal, can it?",
        *("returns", "normal", "The zip of a down jacket broke after four weeks."),
        "A zip that breaks after four weeks is covered by our two-year warranty.",
        "Send us a picture of it, and we repair the jacket or replace it, whichever is faster.",
    ),
    Ticket(
        "Aylin Demir",
        "Do you deliver to Norway, and what about customs? I don't want surprises at the door.",
        *("delivery", "low", "The customer asks about delivery to Norway and customs."),
        "We deliver to Norway in five to seven days, and duties are part of the price that you see.",
        "Choose Norway as the country at the beginning, so that all prices include them.",
    ),
    Ticket(
        "Peter Novak",
        "I need an invoice with our company's VAT number for order 39877. Accounting is waiting for it.",
        *("billing", "normal", "Accounting needs an invoice with a VAT number for order 39877."),
        "We can issue the invoice again with your VAT number.",
        "Reply with the number and the address of the company; you get the PDF on the same day.",
    ),
    Ticket(
        "Chloe Martin",
        "The stove I got makes a hissing noise when it is off. Is it dangerous?? It stands in my kitchen",
        *("product", "high", "A stove hisses while it is off; it may be leaking gas."),
        "Please unscrew the cartridge outdoors now: a stove that hisses while it is off leaks gas.",
        "Do not use it again. We send you a new one today and collect the old one.",
    ),
    Ticket(
        "Tom Becker",
        "How do I change my e-mail address? I have left the company whose address I used.",
        *("account", "low", "The customer wants to change the e-mail address of the account."),
        "You can change the address yourself while you are signed in.",
        "Go to Account > Contact, and confirm the new address by the link that we send to it.",
    ),
    Ticket(
        "Nadia Haddad",
        "Half of my order is missing. The parcel had the mat, but neither the pegs nor the lamp.",
        *("delivery", "normal", "Pegs and lamp are missing from a delivery."),
        "Pegs and lamp come from another warehouse, in a parcel of their own that left yesterday.",
        "You have a second tracking number in the mail of Wednesday.",
    ),
    Ticket(
        "Erik Dahl",
        "I returned the trousers two weeks ago and still have not got my money.",
        *("returns", "high", "The refund for trousers is missing two weeks after their return."),
        "The trousers arrived here on the 4th, and the refund has been on its way since this morning.",
        "It will be on your account within two working days. We are sorry that it took so long.",
    ),
    Ticket(
        "Ines Costa",
        "My voucher SPRING20 is not accepted although it says valid until the end of the month.",
        *("billing", "normal", "The voucher SPRING20 is refused although it is valid."),
        "SPRING20 does not apply to things that are reduced already, such as the lamp in your basket.",
        "Take the lamp out, use the voucher, and order the lamp by itself: we waive the shipping.",
    ),
    Ticket(
        "Ravi Menon",
        "Which gas cartridges fit the Glimmer stove? The old ones I have are from another brand.",
        *("product", "low", "The customer asks which cartridges fit the Glimmer stove."),
        "The Glimmer takes every cartridge with a screw valve of the norm EN 417, of any brand.",
        "Those that are pierced or clicked in do not fit.",
    ),
    Ticket(
        "Greta Olsen",
        "Please delete my account and everything you have stored about me.",
        *("account", "normal", "The customer asks for the deletion of account and data."),
        "We delete your account and your data within 30 days; invoices we have to keep for ten years.",
        "To confirm, reply from the address of the account.",
    ),
    Ticket(
        "Marek Zielinski",
        "The courier says he delivered yesterday at 14:10. I was at home, nobody rang. Where is my parcel?",
        *("delivery", "high", "A parcel is marked as delivered but did not arrive."),
        "The courier left the parcel with a neighbour in house 12, as his signature shows.",
        "If nobody there knows of it, tell us and we send everything again.",
    ),
    Ticket(
        "Yuki Tanaka",
        "Can I swap the blue jacket for the green one without sending it back first?",
        *("returns", "low", "The customer wants to swap a jacket for another colour."),
        "Yes: we reserve the green jacket for you for 14 days while the blue one is on its way.",
        "Choose Exchange instead of Return when you print the label.",
    ),
    Ticket(
        "Paula Silva",
        "I wanted to pay by invoice but only card and bank transfer are offered. Why?",
        *("billing", "low", "Payment by invoice is not offered to the customer."),
        "We offer payment by invoice from the second order on.",
        "With this one, a bank transfer gives you the same: we ship as soon as it has arrived.",
    ),
    Ticket(
        "Felix Braun",
        "How warm is the Polar 500 really? The comfort limit says -4 but I freeze easily.",
        *("product", "normal", "The customer, who freezes easily, asks how warm the Polar 500 is."),
        "The limit of -4 °C holds for an average sleeper; if you freeze easily, count on about +1 °C.",
        "For colder nights take the Polar 700, or a silk liner, which adds four degrees.",
    ),
    Ticket(
        "Leila Amari",
        "Somebody ordered three tents with my account! I have not done that, please stop it!!",
        *("account", "high", "Somebody else has ordered three tents with the customer's account."),
        "We have stopped the order and signed out all devices; your card was not charged.",
        "Set another password now, one that you use nowhere else.",
    ),
)

GREETINGS = ("", "Hi, ", "Hello, ", "Good morning, ", "Dear team, ")  # with which customers begin
_OPENINGS = {
    "gpt-4o": ("Thanks for writing to us.", "Thank you for your message."),
    "gpt-4o-mini": ("Thanks for reaching out!", "Thank you for contacting us!"),
    "claude-sonnet-4-5": ("Thank you for letting us know.", "Thanks for the details."),
    "gemini-2.5-flash": ("Hello and thanks for your mail.", "Thanks for getting in touch."),
}
_SIGNATURES = ("Kind regards,\nthe Trailhead team", "Best wishes from Trailhead", "Your Trailhead team")
_APOLOGIES = (
    "We completely understand how frustrating this must be for you, and we would like to apologise sincerely.",
    "First of all, please accept our heartfelt apologies for any inconvenience that this may have caused.",
)
_PROMISES = (
    "Your satisfaction is our highest priority, and we value you as a customer more than words can say.",
    "As a valued member of our outdoor family, you can always count on us to go the extra mile for you.",
)
_ERRORS = (
    "429 Too Many Requests: rate limit reached, try again in 2 s",
    "504 Gateway Timeout: the model did not answer within 30 s",
    "500 Internal Server Error: the provider had a temporary problem",
)
NOTES = (
    "Too long for a first answer.",
    "Exactly what support would write.",
    "Answers the question, but the tone is too formal.",
    "Names a step that the customer cannot take.",
    "Good: says what happens next.",
    "Promises something that we do not offer.",
    "Right, though it could begin with the answer.",
    "Repeats the question before it answers.",
)
COMMENTS = ("Clear and friendly.", "Missed the deadline that the customer names.", "Would send it as it is.", "Wordy.")


def write_reply(ticket: Ticket, version: int, model: str, random: Random) -> str:
    """Return an answer to a customer, in the way of a version of the prompt."""
    first = ticket.customer.split()[0]
    opening, signature = random.choice(_OPENINGS[model]), random.choice(_SIGNATURES)
    if version == 1:
        return f"{opening} {ticket.answer}"
    if version == 2:
        return f"Dear {ticket.customer},\n\n{opening} {ticket.answer} {ticket.step}\n\n{signature}"
    if version == 3:
        apology, promise = random.choice(_APOLOGIES), random.choice(_PROMISES)
        return f"Dear {ticket.customer},\n\n{opening} {apology}\n\n{ticket.answer}\n\n{promise}\n\n{signature}"
    return f"Hi {first},\n\n{ticket.answer}\n\nWhat you can do: {ticket.step}\n\n{signature}"


def write_summary(ticket: Ticket, version: int, model: str, random: Random) -> str:
    """Return a summary of what a customer writes."""
    if version == 1:
        return f"{random.choice(('The customer', 'A customer'))} ({ticket.customer}) writes: {ticket.message}"
    if version == 2:
        return f"- {ticket.summary}\n- Category: {ticket.category}\n- Urgency: {ticket.urgency}"
    ending = "" if model == "gpt-4o-mini" and random.random() < 0.3 else f" Next: {ticket.step}"
    return f"{ticket.summary}{ending}"


def write_classification(ticket: Ticket, is_right: bool, random: Random) -> str:
    """Return the JSON text with category and urgency, right or with another category."""
    others = [category for category in CATEGORIES if category != ticket.category]
    category = ticket.category if is_right else random.choice(others)
    return json.dumps({"category": category, "urgency": ticket.urgency})


def write_error(random: Random) -> str:
    """Return why a call failed."""
    return random.choice(_ERRORS)
