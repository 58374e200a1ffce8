"""Texts made to break what shows them: markup, templates, tables, formulas, shells, odd and long ones."""

HOSTILE = (
    "<script>alert(1)</script>",
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}{% for x in y %}",
    "a\r\nb,c\t|d`e```f\n# g\n| h |",
    "$\\frac{1}{",
    "=cmd|'/c calc'!A1; rm -rf ~ $(touch x)",
    "ü文\u202e\u0301 𝕏 &amp; &lt;",
    "long " * 90,
)
