"""URLs of webhooks: what is refused although some reader of URLs would take it."""

from __future__ import annotations

import pytest

from goalstream.domain.addresses import networks
from goalstream.domain.webhooks import MAX_URL_LENGTH, url_problem

GOOD = [
    "https://hooks.example.com/",
    "https://hooks.example.com",
    "https://hooks.example.com:8443/a/b.c?d=e&f=%20g",
    "https://hooks.example.com?d=e",
    "https://Hooks.Example.COM/@a/b:c;d=~e,f!$'()*+[x]",
    "https://xn--bcher-kva.example/",
    "https://_acme.a-b.example/",
    "https://1password.com/",
    "https://1.2.3.4.example.com/",
    "https://8.8.8.8/",
    "https://[2606:4700:4700::1111]:443/x",
    "https://example.com/" + "a" * (MAX_URL_LENGTH - 20),
]

NOT_PUBLIC = [
    "https://127.0.0.1/",
    "https://127.0.0.1:443",
    "https://10.0.0.1/",
    "https://172.16.0.1/",
    "https://192.168.1.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://0.0.0.0/",
    "https://255.255.255.255/",
    "https://224.0.0.1/",
    "https://[::1]/",
    "https://[::]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::ffff:169.254.169.254]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::a9fe:a9fe]/",
    "https://[64:ff9b:1::a9fe:a9fe]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:7f00:1::]/",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1]/",
    "https://[fec0::1]/",
    "https://localhost/",
    "https://LOCALHOST:8000/",
    "https://api.localhost/",
    "https://receiver/",
]

ODD_HOSTS = [
    "https://2130706433/",
    "https://017700000001/",
    "https://0x7f000001/",
    "https://0X7F.0.0.1/",
    "https://0177.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://127.0.0.1./",
    "https://127.0.0.01/",
    "https://127.0.0.256/",
    "https://127.0.0.0x1/",
    "https://example.0x/",
    "https://1.2.3.4.5/",
    "https://8.8.8/",
    "https://[fe80::1%25eth0]/",
    "https://[127.0.0.1]/",
    "https://[::1",
    "https://::1/",
    "https://[]/",
    "https://[::1]x/",
    "https://example.com./",
    "https://.example.com/",
    "https://a..example.com/",
    "https://-a.example.com/",
    "https://a-.example.com/",
    f"https://{'a' * 64}.example.com/",
    f"https://{'a.' * 127}com/",
    "https://%31%32%37.0.0.1/",
    "https://exa%6dple.com/",
    "https://exam!ple.com/",
    "https://",
    "https:///path",
    "https://?a=b",
    "https://:443/",
    "https://example.com:0/",
    "https://example.com:65536/",
    "https://example.com:/",
    "https://example.com:443:443/",
    "https://example.com:+443/",
    "https://example.com:4a3/",
]

ODD_TEXTS = [
    "https://127。0。0。1/",
    "https://①②⑦.0.0.1/",
    "https://\uff45xample.com/",
    "https://bücher.example/",
    "https://example.com\\@127.0.0.1/",
    "https:\\\\example.com/",
    "https://exa mple.com/",
    " https://example.com/",
    "https://example.com/\n",
    "https://example.com/\t",
    "https://example.com/\r\nHost: 127.0.0.1",
    "https://example.com/\x00",
    "https://example.com/<a>",
    'https://example.com/"',
    "https://example.com/{a}|b^`",
]

USER_INFO = [
    "https://a@example.com/",
    "https://a:b@example.com/",
    "https://@example.com/",
    "https://8.8.8.8@127.0.0.1/",
]

OTHER_SCHEMES = [
    "",
    "example.com",
    "//example.com/",
    "http://example.com/",
    "http://127.0.0.1/",
    "HTTPS://example.com/",
    "https:/example.com/",
    "https:example.com/",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "javascript:alert(1)",
    "data:text/plain,a",
]

INSIDE = networks("10.20.0.0/16,127.0.0.0/8,fd00::/8")


@pytest.mark.parametrize("url", GOOD)
def test_what_a_webhook_may_have(url: str) -> None:
    assert url_problem(url, ()) is None


@pytest.mark.parametrize(
    ("url", "told"),
    [
        *((url, "which is not public") for url in NOT_PUBLIC),
        *((url, "host") for url in ODD_HOSTS),
        *((url, "must be of plain characters") for url in ODD_TEXTS),
        *((url, "must have no user name or password") for url in USER_INFO),
        *((url, "must begin with https://") for url in OTHER_SCHEMES),
        ("https://example.com/#a", "must have no fragment"),
        ("https://example.com#@127.0.0.1/", "must have no fragment"),
        ("https://example.com/" + "a" * (MAX_URL_LENGTH - 19), "at most 2000 characters"),
    ],
)
def test_what_a_webhook_may_not_have(url: str, told: str) -> None:
    problem = url_problem(url, ())
    assert problem is not None
    assert told in problem


@pytest.mark.parametrize(
    "url",
    [
        "http://10.20.3.4:8000/",
        "https://10.20.3.4/",
        "http://127.0.0.1:9000/",
        "http://[fd12::1]/",
        "http://localhost:9000/",
        "http://receiver:9000/",
        "http://receiver.internal/",
        "https://8.8.8.8/",
    ],
)
def test_what_it_may_have_where_an_operator_names_networks(url: str) -> None:
    assert url_problem(url, INSIDE) is None


@pytest.mark.parametrize(
    "url",
    [
        "http://8.8.8.8/",
        "http://10.21.0.1/",
        "https://10.21.0.1/",
        "http://[fd00:ec2::254]/",
        "http://127.1/",
        "http://",
    ],
)
def test_what_it_may_not_have_even_there(url: str) -> None:
    assert url_problem(url, INSIDE) is not None
