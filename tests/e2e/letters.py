"""A postcard to fill the compose form with."""

LETTER = {
    "message": (
        "Dear Ada,\n\nthe harbour was full of lights last night and we thought of you. Come and see it before "
        "the summer is over: there is a bed, and soup.\n\nYours, Grace"
    ),
    "name": "Ada Lovelace",
    "address": "12 Orchard Lane",
    "city": "Springfield",
    "province": "IL",
    "postal_code": "62701",
}
