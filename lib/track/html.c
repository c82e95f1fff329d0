/* Escaping, the one way that text from a run gets onto a page; and the style of the page. */
#include "track/html_internal.h"

#include "base/utf8.h"
#include "track/report_internal.h"

#include <stdbool.h>
#include <stddef.h>

/* Puts what is at the start of the text, a character or a byte; returns its length. */
static size_t put_next(FILE *out, const char *text)
{
    uint32_t code;
    size_t n = fx_utf8_next(text, &code);

    if (n == 0 || !fx_utf8_is_inert(code))
        fputs("&#xfffd;", out);
    else if (code == '&')
        fputs("&amp;", out);
    else if (code == '<')
        fputs("&lt;", out);
    else if (code == '>')
        fputs("&gt;", out);
    else if (code == '"')
        fputs("&quot;", out);
    else if (code == '\'')
        fputs("&#39;", out);
    else
        fwrite(text, 1, n, out);
    return n > 0 ? n : 1;
}

void fx_html_text(FILE *out, const char *text)
{
    while (text && *text != '\0')
        text += put_next(out, text);
}

void fx_html_name(FILE *out, const char *text)
{
    while (*text != '\0') {
        bool may_break = *text == '/' || *text == '-' || *text == '_';
        text += put_next(out, text);
        if (may_break)
            fputs("<wbr>", out);
    }
}

/* The look of the page: the reader's own fonts, light or dark as the reader has it, and on paper
 * black on white.  Curve colours are those of Okabe and Ito, which most eyes tell apart. */

const char fx_report_style[] =
    ":root{color-scheme:light dark;--paper:#fff;--ink:#1d2129;--soft:#667085;--rule:#d9dde3;"
    "--band:#f5f7f9;--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#cc79a7;--c4:#b8860b;--c5:#56b4e9;"
    "--c6:#7a5195;--c7:#667085;--good:#00794f;--bad:#b42318}\n"
    "@media(prefers-color-scheme:dark){:root{--paper:#14171c;--ink:#e4e7ec;--soft:#98a2b3;"
    "--rule:#333a45;--band:#1b2027;--c0:#5ab4ea;--c1:#ff8f4a;--c2:#3fcfa0;--c3:#e3a0c8;"
    "--c4:#e6b93f;--c5:#9ad4f5;--c6:#b79ad6;--c7:#98a2b3;--good:#4fd1a0;--bad:#ff8a7a}}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;max-width:84rem;padding:2rem 1.25rem 4rem;background:var(--paper);"
    "color:var(--ink);font:15px/1.5 system-ui,-apple-system,\"Segoe UI\",Roboto,\"Helvetica Neue\","
    "\"Noto Sans\",\"DejaVu Sans\",sans-serif}\n"
    "h1{font-size:1.7rem;line-height:1.2;margin:0 0 .25rem}\n"
    "h2{font-size:1.15rem;margin:2.5rem 0 .6rem}\n"
    "h3{font-size:1.15rem;margin:0;overflow-wrap:anywhere}\n"
    "p{margin:.25rem 0}\n"
    ".soft{color:var(--soft)}\n"
    ".wide{overflow-x:auto}\n"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%}\n"
    "th{font-weight:600;color:var(--soft);text-align:right;vertical-align:bottom;font-size:.85rem}"
    "\n"
    "td{text-align:right;white-space:nowrap}\n"
    "th,td{padding:.4rem .6rem;border-bottom:1px solid var(--rule)}\n"
    "th:first-child,td:first-child{text-align:left;padding-left:0}\n"
    "td:first-child{white-space:normal;min-width:11rem;overflow-wrap:anywhere}\n"
    "td small{display:block;color:var(--soft)}\n"
    "td.main{font-weight:650}\n"
    "td.up{color:var(--good)}td.down{color:var(--bad)}\n"
    "a{color:inherit;text-decoration-color:var(--soft);text-underline-offset:.2em}\n"
    ".state{display:inline-block;border:1px solid currentColor;border-radius:1rem;"
    "padding:0 .55rem;font-size:.78rem;line-height:1.5;color:var(--soft)}\n"
    ".done{color:var(--good)}.running{color:var(--c0)}"
    ".diverged,.failed,.dead,.broken{color:var(--bad)}\n"
    ".charts{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));"
    "gap:1.25rem 2rem;margin:1rem 0}\n"
    ".charts.one{grid-template-columns:minmax(0,48rem)}\n"
    "figure{margin:0}\n"
    "figcaption{font-weight:600;margin-bottom:.3rem}\n"
    "svg.chart{display:block;width:100%;height:auto;font-size:11px}\n"
    "svg.confusion{display:block;width:100%;max-width:26rem;height:auto}.cell{fill:var(--c0)}\n"
    "svg text{fill:var(--soft)}svg .end{text-anchor:end}svg .mid{text-anchor:middle}\n"
    ".grid{stroke:var(--rule);stroke-width:1;fill:none}\n"
    ".axis{stroke:var(--soft);stroke-width:1;fill:none}\n"
    ".line{fill:none;stroke-width:1.4;stroke-linejoin:round;stroke-linecap:round}\n"
    ".thick{stroke-width:2.8}.thin{stroke-width:.9}.dash{stroke-dasharray:5 "
    "4}.dots{stroke-dasharray:1.5 3.5}"
    ".long{stroke-dasharray:10 3 2 3}\n"
    ".c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}"
    ".c4{stroke:var(--c4)}.c5{stroke:var(--c5)}.c6{stroke:var(--c6)}.c7{stroke:var(--c7)}\n"
    ".dot,.point{fill:var(--paper);stroke-width:1.4;stroke-dasharray:none}\n"
    ".point{opacity:0}.point:hover{opacity:1}\n"
    "td s{text-decoration:none;color:var(--soft)}\n"
    ".legend{list-style:none;display:flex;flex-wrap:wrap;gap:.15rem 1.1rem;margin:.35rem 0 0;"
    "padding:0;font-size:.85rem;overflow-wrap:anywhere}\n"
    ".key{width:30px;height:8px;margin-right:.4rem;overflow:visible}\n"
    ".overview{font-size:.76rem}.overview th,.overview td{padding:.3rem .3rem}"
    ".overview tr th[colspan]{text-align:center}"
    ".overview td:first-child{min-width:8rem}"
    ".overview td:nth-child(-n+3){text-align:left}"
    ".overview tr+tr th:first-child{text-align:right}.overview tr:first-child th{text-align:left}"
    ".overview td:nth-child(2){white-space:normal}.overview th{font-size:.95em}"
    ".overview td small{white-space:normal;overflow-wrap:anywhere}\n"
    "section{border-top:1px solid var(--rule);margin-top:2rem;padding-top:1.5rem}\n"
    "section header{display:flex;flex-wrap:wrap;align-items:center;gap:.25rem .8rem}\n"
    "summary{cursor:pointer;color:var(--soft)}\n"
    "dl{columns:3 17rem;column-gap:2rem;font-size:.85rem;margin:.6rem 0;background:var(--band);"
    "padding:.8rem 1rem;border-radius:.4rem}\n"
    "dl div{display:flex;justify-content:space-between;gap:1rem;break-inside:avoid;"
    "border-bottom:1px solid var(--rule);padding:.12rem 0}\n"
    "dt{color:var(--soft)}dd{margin:0;text-align:right;overflow-wrap:anywhere;min-width:0}\n"
    "code{display:block;font:.8rem/1.5 ui-monospace,\"DejaVu Sans Mono\",monospace;"
    "overflow-wrap:anywhere;background:var(--band);padding:.6rem 1rem;border-radius:.4rem}\n"
    "@page{size:A4 landscape;margin:11mm}\n"
    "@media print{:root{color-scheme:light;--paper:#fff;--ink:#000;--soft:#444;--rule:#bbb;"
    "--band:#fff;--c0:#0072b2;--c1:#d55e00;--c2:#009e73;--c3:#cc79a7;--c4:#b8860b;--c5:#56b4e9;"
    "--c6:#7a5195;--c7:#666;--good:#000;--bad:#000}"
    "html{font-size:11px}body{font-size:1rem;line-height:1.3;padding:0;max-width:none}"
    "h2{margin:1rem 0 .4rem}a{text-decoration:none}"
    "figure,header,tr{break-inside:avoid}h2,header{break-after:avoid}"
    "thead{display:table-header-group}.wide{overflow:visible}"
    /* Sixteen runs fit on a page: the members of a family stand with the runs' configurations. */
    ".overview{font-size:.82rem}.overview th,.overview td{padding:.22rem .3rem}"
    ".overview td:nth-child(2) small{display:none}.overview td:nth-child(3){white-space:normal}"
    ".charts{grid-template-columns:1fr 1fr}"
    "details::details-content{content-visibility:visible;height:auto}}\n";
