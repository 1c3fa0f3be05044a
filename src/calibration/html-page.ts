import {PAGE_STYLE, TIP_SCRIPT} from './page-style.js';
import {escapeXml} from './svg.js';

/** Text as HTML, in elements and in quoted attributes. */
export function escapeHtml(text: string): string {
  return escapeXml(text);
}

/**
 * One self-contained page: no script, style, font or picture from elsewhere, and a policy that forbids them. Elements with
 * `data-tip` show that text while the pointer is on them.
 * @param body markup. @param style beside what all pages share
 */
export function htmlPage({title, style = '', body}: {readonly title: string; readonly style?: string; readonly body: string}): string {
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
