"""Quotes around an expression of a template are found, and nothing else is."""

from __future__ import annotations

import pytest

from gpu_runbook.laptop.inputs import quotes


@pytest.mark.parametrize(
    ("source", "line", "text", "better"),
    [
        ('a: 1\nb: "{{ X }}"\n', 2, '"{{ X }}"', "{{ X }}"),
        ("a: '{{X}}'", 1, "'{{X}}'", "{{ X }}"),
        ('a: "{{ root }}/models/w.pt"', 1, '"{{ root }}/models/w.pt"', '{{ root ~ "/models/w.pt" }}'),
        ("a: 'x{{ A }}-{{- B.c -}}'", 1, "'x{{ A }}-{{- B.c -}}'", "{{ 'x' ~ A ~ '-' ~ B.c }}"),
        ('a: "{{ A if B else C }}/x"', 1, '"{{ A if B else C }}/x"', '{{ (A if B else C) ~ "/x" }}'),
        ('a: "{{ A | replace("b", "c") }}"', 1, '"{{ A | replace("b", "c") }}"', '{{ (A | replace("b", "c")) }}'),
        ('a: "{% if A %}{{ B }}{% endif %}"', 1, '"{% if A %}{{ B }}{% endif %}"', ""),
        ('{"a": {{ A }}, "b": "{{ B }}"}', 1, '"{{ B }}"', "{{ B }}"),
    ],
    ids=["double", "single", "and text", "several", "a condition", "a filter", "a statement", "beside bare ones"],
)
def test_quotes_around_an_expression_are_found(source: str, line: int, text: str, better: str) -> None:
    assert quotes.first(source) == quotes.Quoted(line, text, better)


@pytest.mark.parametrize(
    "source",
    [
        'a: {{ root ~ "/models" }}',
        '{"a": {{ A }}, "b": {{ B }}}',
        'a: "x"\nb: {{ A }}\nc: "y"',
        '{# "{{ A }}" #}\na: {{ A }}',
        'a: "{% raw %}x{% endraw %}"',
        '"' * 50_000,
    ],
    ids=["inside", "around keys", "in other lines", "in a comment", "around a statement", "very many"],
)
def test_other_quotes_are_none(source: str) -> None:
    assert quotes.first(source) is None
