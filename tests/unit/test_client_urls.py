import pytest

from thanksio_connect.client.urls import is_secure_url, join_api_url

API = "https://api.thanks.io/api/v2"


@pytest.mark.parametrize(
    "url",
    [
        "https://dashboard.thanks.io/oauth/token",
        "https://thanks.example:8443/x?y=1",
        "http://localhost:8001/oauth/token",
        "http://127.0.0.1/x",
        "http://127.8.9.1:80/x",
        "http://[::1]:8000/x",
        "HTTPS://DASHBOARD.THANKS.IO/",
        "http://LOCALHOST/",
    ],
)
def test_secure(url):
    assert is_secure_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "dashboard.thanks.io",
        "//dashboard.thanks.io/x",
        "/oauth/token",
        "http://dashboard.thanks.io/oauth/token",
        "http://localhost.evil.example/",
        "http://127.0.0.1.evil.example/",
        "http://localhost@evil.example/",
        "http://10.0.0.1/",
        "http://0.0.0.0/",
        "https://user:password@dashboard.thanks.io/",
        "https://@dashboard.thanks.io/",
        "https://",
        "https:///x",
        "https://[::1",
        "https://host:port/",
        "https://host:99999/",
        "https://ho st/",
        "https://host/\r\nX: 1",
        "https://host\\@evil.example/",
        "ftp://localhost/",
        "javascript:alert(1)",
        "file:///etc/passwd",
    ],
)
def test_not_secure(url):
    assert not is_secure_url(url)


@pytest.mark.parametrize(
    ("path", "url"),
    [
        ("/mailing-lists/", f"{API}/mailing-lists/"),
        ("/webhooks", f"{API}/webhooks"),
        ("mailing-lists/", f"{API}/mailing-lists/"),
        ("/orders/list?page=2&x=..", f"{API}/orders/list?page=2&x=.."),
        ("/recipients?email=a@b.example", f"{API}/recipients?email=a@b.example"),
        ("/a..b/c", f"{API}/a..b/c"),
        (f"{API}/mailing-lists?page=2", f"{API}/mailing-lists?page=2"),
        ("https://API.thanks.io:443/api/v2/orders/list", "https://API.thanks.io:443/api/v2/orders/list"),
        ("/x?next=https://evil.example/", f"{API}/x?next=https://evil.example/"),
    ],
)
def test_path_is_joined_as_given(path, url):
    assert join_api_url(API, path) == url
    assert join_api_url(f"{API}/", path) == url


@pytest.mark.parametrize(
    "path",
    [
        "",
        "//evil.example/x",
        "///evil.example/x",
        "https://evil.example/api/v2/x",
        "https://evil.example",
        "http://api.thanks.io/api/v2/x",
        "https://api.thanks.io:8443/api/v2/x",
        "https://api.thanks.io/api/v1/x",
        "https://api.thanks.io/api/v22/x",
        "https://api.thanks.io/",
        "https://api.thanks.io@evil.example/api/v2/x",
        "https://evil.example@api.thanks.io/api/v2/x",
        "https://api.thanks.io.evil.example/api/v2/x",
        "https://[::1/api/v2/x",
        "https://api.thanks.io:port/api/v2/x",
        "https://api.thanks.io/api/v2/../v1/x",
        f"{API}/%2e%2e/x",
        "HTTPS://evil.example/api/v2/x",
        "@evil.example/x",
        "/x@evil.example",
        "/../oauth/token",
        "..",
        "/a/../../b",
        "/a/./b",
        "/%2e%2e/x",
        "/%2E./x",
        "/..%2fx",
        "/..%5cx",
        "/a\\b",
        "\\\\evil.example\\x",
        "/a\r\nHost: evil.example",
        "/a\x00",
        "/a%0d%0ab",
        "/a\tb",
        "/a#b",
    ],
)
def test_path_that_leaves_the_api_is_refused(path):
    with pytest.raises(ValueError, match=r"The (path|URL) "):
        join_api_url(API, path)


def test_api_at_the_root_of_its_host():
    assert join_api_url("http://127.0.0.1:8001", "/x/") == "http://127.0.0.1:8001/x/"
    assert join_api_url("http://127.0.0.1:8001", "http://127.0.0.1:8001/x") == "http://127.0.0.1:8001/x"
    with pytest.raises(ValueError, match="not below"):
        join_api_url("http://127.0.0.1:8001", "http://127.0.0.1:8002/x")


def test_path_must_be_text():
    with pytest.raises(TypeError):
        join_api_url(API, 5)  # type: ignore[arg-type]
