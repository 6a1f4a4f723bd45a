from __future__ import annotations

import time

import pytest

from clm_common.errors import DefinitionError
from clm_engagement.core.template import RenderFailed, Template, Values

ANN: Values = {
    "contact": {
        "first_name": "Ann",
        "last_name": None,
        "email": "ann@example.com",
        "time_zone": None,
        "locale": "de",
    },
    "sender": {"name": "Shop", "email": "shop@example.com"},
    "link": {"unsubscribe": "https://example.com/u/x"},
}


def rendered(source: str, *, escaped: bool = True, values: Values = ANN) -> str:
    return Template(source, file="a.html.liquid", escaped=escaped).render(values)


def test_values_are_filled_in_and_missing_ones_render_as_nothing() -> None:
    assert rendered("Hi {{ contact.first_name }}{{ contact.last_name }}!") == "Hi Ann!"
    assert rendered("{{ contact.last_name | default: 'friend' }}") == "friend"
    assert rendered("{% if contact.last_name %}a{% else %}b{% endif %}") == "b"


def test_html_is_escaped_and_text_is_not() -> None:
    evil = {**ANN, "contact": {**ANN["contact"], "first_name": "<b>&"}}

    assert rendered("{{ contact.first_name }}", values=evil) == "&lt;b&gt;&amp;"
    assert rendered("{{ contact.first_name | upcase }}", values=evil) == "&lt;B&gt;&amp;"
    assert rendered("{{ contact.first_name }}", values=evil, escaped=False) == "<b>&"


@pytest.mark.parametrize(
    ("source", "line", "complaint"),
    [
        ("\n\n{{ contact.firstname }}", 3, "unknown variable contact.firstname"),
        ("{{ name }}", 1, "unknown variable name"),
        ("{{ now }}", 1, "unknown variable now"),
        ("{{ contact }}", 1, "unknown variable contact"),
        ("{{ contact[link.unsubscribe] }}", 1, "unknown variable contact"),
        ("{{ contact.first_name.size.size }}", 1, "unknown variable"),
        ("a\n{% if %}b", 2, ""),
        ("{{ contact.email | shout }}", 1, "shout"),
        ("{{ contact.email | safe }}", 1, "safe"),
        ("{% include 'x' %}", 1, "include"),
        ("\n{% render 'x' %}", 2, "render"),
        ("{{ 'now' | date: '%Y' }}", 1, "date"),
    ],
)
def test_a_template_that_errs_is_refused_at_the_start(
    source: str, line: int, complaint: str
) -> None:
    with pytest.raises(DefinitionError) as refusal:
        Template(source, file="a.html.liquid", escaped=True)

    assert str(refusal.value).startswith(f"a.html.liquid:{line}: ")
    assert complaint in str(refusal.value)


def test_a_template_tells_what_it_reads() -> None:
    template = Template(
        "{% assign x = contact.locale %}{{ x }}{{ link.unsubscribe }}", file="t", escaped=False
    )

    assert template.reads == {("contact", "locale"), ("link", "unsubscribe")}


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in (1..100000000) %}x{% endfor %}",
        "{% for i in (1..150) %}{% for j in (1..150) %}x{% endfor %}{% endfor %}",
        "{{ (1..1000000000) | size }}",
        "{% assign x = 'aaaa' %}{% for i in (1..100) %}{% assign x = x | append: x %}{% endfor %}",
        "{% assign x = 'bb' %}{% for i in (1..9) %}{% assign x = x | replace: 'b',x %}{% endfor %}",
        "{% assign x = 99999 %}{% for i in (1..100) %}{% assign x = x | times: x %}{% endfor %}",
        "{% for i in (1..200) %}{{ contact.email" + " | upcase" * 1000 + " }}{% endfor %}",
        "{% for i in (1..200) %}" + "{{ contact.email }}" * 1000 + "{% endfor %}",
        "{{ 5 | divided_by: 0 }}",
    ],
)
def test_a_template_that_does_too_much_fails_soon(source: str) -> None:
    template = Template(source, file="bomb", escaped=False)
    began = time.perf_counter()

    with pytest.raises(RenderFailed):
        template.render(ANN)

    assert time.perf_counter() - began < 5


def test_a_very_long_template_is_refused() -> None:
    with pytest.raises(DefinitionError):
        Template("x" * 70_000, file="long", escaped=False)
