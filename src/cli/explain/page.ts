import {escapeHtml, htmlPage} from '../../charts/html-page.js';
import {stackLabel} from '../answer/format.js';
import type {ExplainedLayer, ExplainedPass, Explanation} from './explanation.js';
import {angle, passLabel, refusal} from './text.js';
import {largest} from '../../runtime/extremes.js';

const STYLE = `
.top{display:grid;grid-template-columns:256px minmax(0,1fr);gap:24px;margin:0 0 22px}
.top img{display:block;width:100%;height:auto;border-radius:8px;border:1px solid var(--line)}
header .answer{font-size:22px;color:var(--ink);margin:2px 0 10px;letter-spacing:-.01em}
.box{background:var(--card);border:1px solid var(--line);border-radius:12px;padding:16px 18px;overflow-x:auto}
.stream{display:grid;grid-template-columns:92px minmax(0,1fr) 44px;gap:10px;align-items:center;margin-top:8px;font-size:13px;color:var(--muted)}
.stream div{display:grid;grid-auto-flow:column;grid-auto-columns:minmax(0,1fr);gap:3px}
.stream .c{height:34px;line-height:22px;text-align:center;color:var(--ink)}.stream b{text-align:right;font-weight:500}
table{border-collapse:separate;border-spacing:3px;min-width:760px}
th{font-weight:500;font-size:13px;color:var(--muted);text-align:center}th.token{text-align:right;padding-right:8px;font-size:15px;color:var(--ink);white-space:nowrap}
td.depth{font-size:13px;color:var(--muted);text-align:right;white-space:nowrap}
.c{border-radius:5px;padding:4px 7px;background:color-mix(in srgb,var(--run) calc(6% + 54%*var(--s)),var(--card));line-height:1.25;font-size:12px;border:2px solid transparent;overflow:hidden;white-space:nowrap;text-overflow:ellipsis}
.c strong{display:block;font-size:14px;font-weight:500;overflow:hidden;text-overflow:ellipsis}.c.agrees strong{font-weight:700}
.c.differs strong{font-style:italic}
.c.forbidden strong{text-decoration:line-through}
.c.beyond{opacity:.5}.c.exit{border-color:var(--exit)}
.legend .c{width:34px;height:20px;display:inline-block;padding:0}
@media (max-width:760px){.top{grid-template-columns:1fr}}
`;

/**
 * A self-contained page with the image.
 * @param picture bytes of the image file
 */
export function explainPage(explained: Explanation, picture: Uint8Array): string {
  const {image, question, answer, encoder, decoder, policy, task} = explained;
  const depth = Math.max(1, largest(decoder.map((pass) => pass.depth)));
  // Rows of the stacks before have their names; this one's have words.
  const name = stackLabel(decoder[0]?.stack ?? '');
  const writing = name.charAt(0).toUpperCase() + name.slice(1);
  const heads = Array.from({length: depth}, (_, layer) => `<th scope="col">layer ${layer + 1}</th>`).join('');
  const body = `<div class="top">
<img src="data:${mediaType(picture)};base64,${Buffer.from(picture).toString('base64')}" alt="${escapeHtml(image)}">
<header>
<h1>What would each layer have said?</h1>
<p>${escapeHtml(image)}, ${task === 'caption' ? 'captioned' : task === 'ask' ? 'asked' : 'judged'} at full depth, greedily. Exits are those of the plan
(${escapeHtml(policy)}), which only looked on: after an earlier exit, the layers and steps that follow would see other states.</p>
${question === undefined ? '' : `<p class="muted">${escapeHtml(question)}</p>`}
<p class="answer">${escapeHtml(answer === '' ? '(no words)' : answer)}</p>
<section class="box"><h2>Similarity of each layer's output to its input</h2>
${encoder.map(stream).join('\n')}
</section>
</header>
</div>
<section class="box"><h2>${escapeHtml(writing)}: the likeliest word after each layer, its margin, and the similarity</h2>
<table><thead><tr><th></th>${heads}<th scope="col">exit</th></tr></thead>
<tbody>${decoder.map(row).join('\n')}</tbody></table>
</section>
${legend()}
<footer>Margin: difference of the two largest probabilities through the shared head. Similarity: cosine of the whole state before and after
the layer, shaded by angle. Made by <code>mue explain</code>.</footer>`;
  return htmlPage({title: `mue-tfjs: ${image}`, style: STYLE, body});
}

function stream(pass: ExplainedPass): string {
  const cells = pass.layers.map((layer) =>
    cell('div', pass, layer, angle(layer.similarity), layer.similarity.toFixed(4), passLabel(pass)),
  );
  return `<div class="stream"><span>${escapeHtml(passLabel(pass))}</span><div>${cells.join('')}</div><b>${exitText(pass)}</b></div>`;
}

function row(pass: ExplainedPass): string {
  const token = pass.token?.trim() || '␣';
  const cells = pass.layers.map((layer) => {
    const content = `<strong>${escapeHtml(layer.top?.trim() || '␣')}</strong>${(layer.margin ?? 0).toFixed(2)} · ${layer.similarity.toFixed(3)}`;
    return cell(
      'td',
      pass,
      layer,
      layer.margin ?? 0,
      content,
      `“${token}”${pass.step === undefined ? '' : `, step ${pass.step + 1}`}`,
    );
  });
  return `<tr><th scope="row" class="token">${escapeHtml(token)}</th>${cells.join('')}<td class="depth">${exitText(pass)}</td></tr>`;
}

function cell(
  tag: 'td' | 'div',
  pass: ExplainedPass,
  layer: ExplainedLayer,
  share: number,
  content: string,
  where: string,
): string {
  const beyond = pass.exit !== null && layer.layer > pass.exit;
  const kind = [
    'c',
    layer.agrees === undefined ? '' : layer.agrees ? 'agrees' : 'differs',
    layer.forbidden ? 'forbidden' : '',
    layer.layer === pass.exit ? 'exit' : beyond ? 'beyond' : '',
  ];
  const number = (name: string, value: number | undefined): string[] =>
    value === undefined ? [] : [`${name} ${value.toFixed(4)}`];
  const tip = [
    `${where}, layer ${layer.layer} of ${pass.depth}`,
    ...(layer.top === undefined ? [] : [`likeliest: ${layer.top.trim()}${layer.agrees ? ', as the last layer' : ''}`]),
    refusal(layer) ?? '',
    [...number('p₁', layer.max), ...number('margin', layer.margin), ...number('entropy', layer.entropy)].join(', '),
    number('similarity', layer.similarity)[0]!,
    layer.score === undefined
      ? ''
      : `the plan saw ${[...number('', layer.score), ...number('threshold', layer.threshold)].join(', ').trim()}`,
    layer.layer === pass.exit ? 'exit' : beyond ? 'the plan would not have come here' : '',
  ].filter((line) => line !== '');
  return `<${tag} class="${kind.filter(Boolean).join(' ')}" style="--s:${Math.max(0, Math.min(1, share)).toFixed(3)}" data-tip="${escapeHtml(tip.join('\n'))}">${content}</${tag}>`;
}

function exitText({exit, depth}: ExplainedPass): string {
  return `${exit ?? depth}/${depth}`;
}

function legend(): string {
  const swatch = (share: number, kind = ''): string => `<i class="c ${kind}" style="--s:${share}"></i>`;
  return `<section class="legend"><span>${swatch(0)}${swatch(0.5)}${swatch(1)} the stronger the colour, the larger the margin (of words) or the similarity</span>
<span>${swatch(0.7, 'exit')} the plan leaves here</span><span>${swatch(0.7, 'beyond')} the plan would not have come here</span>
<span><b>bold</b> the word of the last layer</span><span><em>italic</em> another word</span><span><s>struck</s> a word that the search was not allowed to write</span><span>Hover over a cell for all its numbers.</span></section>`;
}

/** Media type by the first byte: the image has been decoded, so it is one of these. */
function mediaType(bytes: Uint8Array): string {
  const kinds: Readonly<Record<number, string>> = {137: 'png', 255: 'jpeg', 71: 'gif', 82: 'webp', 66: 'bmp'};
  return `image/${kinds[bytes[0] ?? 0] ?? 'png'}`;
}
