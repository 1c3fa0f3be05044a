import {escapeXml} from './svg.js';

/** Style that all pages share: colours, light and dark, and type. */
const PAGE_STYLE = `
:root{color-scheme:light dark;--bg:#f6f7f9;--card:#fff;--ink:#1b2430;--muted:#5d6b7c;--line:#dfe4ea;--run:#1f6feb;--exit:#e8590c;--good:#18794e;--goodbg:#e3f5ea;--bad:#b42318;--badbg:#fdeae7;--skip:#eef1f4}
@media (prefers-color-scheme:dark){:root{--bg:#0f141a;--card:#171d25;--ink:#e4e9ef;--muted:#94a1b1;--line:#2a333e;--run:#58a6ff;--exit:#ff922b;--good:#6bd89c;--goodbg:#12301f;--bad:#ff8f82;--badbg:#3a1714;--skip:#1f2731}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1180px;padding:32px 20px;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{margin:0 0 6px;font-size:30px;letter-spacing:-.02em}h2{margin:0;font-size:15px}h3{margin:0;font-size:20px;letter-spacing:-.01em}
header p{max-width:78ch;margin:0;color:var(--muted)}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}
.remark{margin:0 0 14px;padding:10px 14px;border-left:3px solid var(--exit);background:var(--card);border-radius:0 8px 8px 0;font-size:14px}
.legend{display:flex;flex-wrap:wrap;gap:6px 22px;align-items:center;margin:18px 2px;color:var(--muted);font-size:13px}
.legend span{display:inline-flex;align-items:center;gap:5px}
.muted{color:var(--muted);margin:0;font-size:14px}.muted b{color:var(--ink);font-weight:500}
[data-tip]:hover{outline:2px solid var(--ink);outline-offset:1px}
#tip{position:fixed;z-index:2;pointer-events:none;padding:4px 9px;border-radius:6px;background:var(--ink);color:var(--bg);font-size:12.5px;font-variant-numeric:tabular-nums;white-space:pre}
footer{margin:22px 2px 0;color:var(--muted);font-size:12.5px}
`;

/** Shows the numbers of the element under the pointer at once; a page is whole without it. */
const TIP_SCRIPT = `
const tip=document.getElementById('tip');
addEventListener('mousemove',(e)=>{const at=e.target.closest?.('[data-tip]');tip.hidden=!at;if(!at)return;tip.textContent=at.dataset.tip;
const w=tip.offsetWidth,h=tip.offsetHeight;tip.style.left=Math.max(4,Math.min(e.clientX+12,innerWidth-w-8))+'px';tip.style.top=(e.clientY+20+h>innerHeight?e.clientY-h-8:e.clientY+16)+'px'});
`;

/** Text as HTML, in elements and in quoted attributes. */
export function escapeHtml(text: string): string {
  return escapeXml(text);
}

/**
 * A self-contained page: no script, style, font or picture from elsewhere, and a policy that forbids them. Elements
 * with `data-tip` show that text while the pointer is on them.
 * @param style beside the style that all pages share
 * @param body  markup
 */
export function htmlPage({
  title,
  style = '',
  body,
}: {
  readonly title: string;
  readonly style?: string;
  readonly body: string;
}): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>${escapeHtml(title)}</title>
<style>${PAGE_STYLE}${style}</style>
</head>
<body>
${body}
<div id="tip" role="status" hidden></div>
<script>${TIP_SCRIPT}</script>
</body>
</html>
`;
}
