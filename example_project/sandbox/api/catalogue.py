"""What every account can choose from, and what it costs."""

from django.http import HttpRequest
from django.templatetags.static import static

DEFAULT_STYLE_ID = 4
HANDWRITING_STYLES = {
    1: ("Hi Clarice", "Realistic"),
    2: ("Practiced Sharpie", "Bold"),
    3: ("Bold Note", "Bold"),
    4: ("Foxy Lady", "Realistic"),
    5: ("That Dude", "Bold"),
    6: ("Normal Print", "Bold"),
    7: ("Shopping List", "Realistic"),
    8: ("Lazy Note", "Realistic"),
}
IMAGE_TEMPLATES = {6: ("Thank you", "front-thanks.svg"), 7: ("Hello from us", "front-hello.svg")}
BACK_IMAGE = "back.svg"

# Cents for a piece mailed first class within the United States.
POSTCARD_CENTS = {"4x6": 118, "6x9": 143, "6x11": 168}
STANDARD_MAIL_DISCOUNT_CENTS = 27
INTERNATIONAL_SURCHARGE_CENTS = 75
UNITED_STATES = {"", "US", "USA", "UNITED STATES"}


def image_url(request: HttpRequest, name: str) -> str:
    return request.build_absolute_uri(static(f"sandbox/{name}"))
