"""OFA-Base's sizes in eager PyTorch, random weights: what `npm run bench -- base` is set beside on the same machine.

Not the authors' code: its blocks of torch's own modules, without fairseq around them. Like it, and unlike this project, every beam has its own
copy of the encoder's output and of its keys and values, batch norms are not folded, and a question is one forward pass over all words.
usage: python bench/torch-base.py [rounds] [threads]; prints {"caption": s, "entail": s, ...}, medians. Needs torch.
"""
import json
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn import functional as F

SIZE, HEADS, HIDDEN, LAYERS, WORDS, SIDE, BEAMS, TOKENS = 768, 12, 3072, 6, 59457, 480, 5, 12
WIDTH = SIZE // HEADS


class Bottleneck(nn.Module):
    def __init__(self, inputs, planes, stride):
        super().__init__()
        conv = lambda a, b, k, s: nn.Sequential(nn.Conv2d(a, b, k, s, (k - 1) // 2, bias=False), nn.BatchNorm2d(b))
        self.convs = nn.ModuleList([conv(inputs, planes, 1, 1), conv(planes, planes, 3, stride), conv(planes, 4 * planes, 1, 1)])
        self.shortcut = conv(inputs, 4 * planes, 1, stride) if inputs != 4 * planes or stride > 1 else nn.Identity()

    def forward(self, x):
        y = self.convs[1](self.convs[0](x).relu_()).relu_()
        return (self.convs[2](y) + self.shortcut(x)).relu_()


def resnet():
    stem = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)]
    blocks, inputs = [], 64
    for stage, count in enumerate([3, 4, 23]):
        for b in range(count):
            blocks.append(Bottleneck(inputs, 64 << stage, 2 if b == 0 and stage > 0 else 1))
            inputs = 4 * (64 << stage)
    return nn.Sequential(*stem, *blocks)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.out = (nn.Linear(SIZE, SIZE) for _ in range(4))
        self.gain = nn.Parameter(torch.ones(HEADS))

    def heads(self, x):
        return x.view(x.shape[0], x.shape[1], HEADS, WIDTH).transpose(1, 2).reshape(-1, x.shape[1], WIDTH)

    def keys_values(self, x):
        return self.heads(self.k(x)), self.heads(self.v(x))

    def forward(self, x, keys, values, bias):
        rows, length, _ = x.shape
        scores = torch.bmm(self.heads(self.q(x) * (2 * WIDTH) ** -0.5), keys.transpose(1, 2)) + bias
        mixed = torch.bmm(F.softmax(scores, -1), values).view(rows, HEADS, length, WIDTH) * self.gain.view(1, -1, 1, 1)
        return self.out(mixed.transpose(1, 2).reshape(rows, length, SIZE))


class Layer(nn.Module):
    def __init__(self, cross):
        super().__init__()
        self.attention, self.cross = Attention(), Attention() if cross else None
        self.norms = nn.ModuleList(nn.LayerNorm(SIZE) for _ in range(6 if cross else 4))
        self.fc1, self.fc2, self.inner = nn.Linear(SIZE, HIDDEN), nn.Linear(HIDDEN, SIZE), nn.LayerNorm(HIDDEN)

    def forward(self, x, bias, cache=None, memory=None, cross_bias=None):
        normed = self.norms[0](x)
        keys, values = self.attention.keys_values(normed)
        if cache is not None:
            if cache:
                keys, values = torch.cat([cache[0], keys], 1), torch.cat([cache[1], values], 1)
            cache[:] = [keys, values]
        x = x + self.norms[1](self.attention(normed, keys, values, bias))
        if memory is not None:
            x = x + self.norms[4](self.cross(self.norms[5](x), *memory, cross_bias))
        return x + self.fc2(self.inner(F.gelu(self.fc1(self.norms[2](x)))))


class Ofa(nn.Module):
    def __init__(self):
        super().__init__()
        self.resnet, self.project = resnet(), nn.Linear(1024, SIZE)
        self.words = nn.Parameter(torch.randn(WORDS, SIZE) * 0.02)
        self.encoder = nn.ModuleList(Layer(False) for _ in range(LAYERS))
        self.decoder = nn.ModuleList(Layer(True) for _ in range(LAYERS))

    def encode(self, picture, text):
        image = self.project(self.resnet(picture).flatten(2).transpose(1, 2))
        x = torch.cat([image, F.embedding(text, self.words)], 1)
        bias = torch.zeros(HEADS, x.shape[1], x.shape[1])
        for layer in self.encoder:
            x = layer(x, bias)
        return x

    def decode(self, tokens, encoded, memories, caches):
        x = F.embedding(tokens, self.words)
        length = caches[0][0].shape[1] + 1 if caches and caches[0] else x.shape[1]
        bias = torch.zeros(1, x.shape[1], length)
        if x.shape[1] > 1:
            bias = bias + torch.full_like(bias, float('-inf')).triu(1)
        for i, layer in enumerate(self.decoder):
            if i not in memories:
                memories[i] = layer.cross.keys_values(encoded)
            x = layer(x, bias, caches[i] if caches else None, memories[i], torch.zeros(1, x.shape[1], encoded.shape[1]))
        return F.linear(x, self.words)

    def caption(self, picture):
        encoded = self.encode(picture, torch.arange(4, 12)[None]).repeat_interleave(BEAMS, 0)
        memories, caches, scores = {}, [[] for _ in range(LAYERS)], torch.zeros(BEAMS, 1)
        tokens = torch.zeros(BEAMS, 1, dtype=torch.long)
        for _ in range(TOKENS + 1):
            log = F.log_softmax(self.decode(tokens, encoded, memories, caches)[:, -1], -1) + scores
            best, place = log.flatten().topk(2 * BEAMS)
            scores, rows = best[:BEAMS, None], place[:BEAMS] // WORDS
            tokens = (place[:BEAMS] % WORDS)[:, None]
            order = (rows[:, None] * HEADS + torch.arange(HEADS)).flatten()
            for cache in caches:
                cache[:] = [part.index_select(0, order) for part in cache]

    def entail(self, picture):
        text = torch.arange(4, 28)[None]
        return F.log_softmax(self.decode(text, self.encode(picture, text), {}, None), -1)


if __name__ == '__main__':
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 3
    torch.set_num_threads(int(sys.argv[2]) if len(sys.argv) > 2 else torch.get_num_threads())
    torch.manual_seed(0)
    with torch.inference_mode():
        model, picture = Ofa().eval(), torch.randn(1, 3, SIDE, SIDE)
        times = {'caption': [], 'entail': []}
        for i in range(rounds + 1):
            for task, taken in times.items():
                start = time.perf_counter()
                getattr(model, task)(picture)
                taken.extend([time.perf_counter() - start] if i else [])
    medians = {task: round(statistics.median(taken), 3) for task, taken in times.items()}
    print(json.dumps({**medians, 'torch': torch.__version__, 'threads': torch.get_num_threads()}))
