"""What the page of figures says around its tables."""

HEAD = """\
# Performance

How fast a dream is, what memory it takes, and how well both are told before. `make bench` measures
it and writes this page; nobody types a figure.

**Yours differ.** These are of the machines named below, with nothing else running on them. Another
CPU has other vectors and another memory; which way of computing pays there is
[measured by the probe](engine.md) when a worker first starts. For your own figures run `make bench`
in your clone: on two cores it takes 25 minutes where 16 bit pay and an hour where they don't. It
writes this page anew, yours first, and keeps all that was told in `performance.jsonl`; delete that
file, and `git checkout docs/reference` brings ours back. `make bench ARGS=--quick` tries it in
seconds.

The machine measured last stands first, and the plot is of it; the earlier the date, the older the
code. The numbers after a CPU's name are its family, model and stepping.

A time that has a baseline, plain PyTorch's or another, took turns with it in one run, and each is
the median over the turns. A peak of memory is one process's. What has no baseline was measured
alone. All that was told, with the commit, is in
{files}.
"""

SPEED = """\
## One iteration

For whoever waits for a dream: seconds of an iteration, in brackets how many times as fast that is
as the same dream in a plain PyTorch loop (modules, autograd, Adam, float32) with as many threads.
VGG-19, Adam, no frame saved. *No compiler* is `fast` where the native kernel could not be built.
"""

MEMORY = """\
## Memory

For whoever hosts: the most memory that a process held which ran nothing else, in MB, with Python,
torch and the network in it; in brackets the part of what the plain loop's process held. Where less
is free than here, a dream is seen in more and smaller parts and needs less.
"""

DREAMS = """\
## A dream on a GPU

For whoever waits and whoever hosts: seconds of all iterations with the picture after them, in
brackets how many times as fast that is as the plain loop on the same GPU. Memory is what torch
reserved of the GPU in a process that ran nothing else, in MB; in brackets the part of the plain
loop's. VGG-19, Adam, no frame saved.
"""

REST = """\
## Around the iteration

For whoever hosts, and for whoever trusts an estimate.

- *Off by*: by the median, at most in the worst case; *of the whole*: as a part of the dream's whole
  time, as shortly before its end nearly nothing is left to be off from.
- *Ratio*: of a figure to its baseline in each turn: the median, in brackets the least and the most.
  Turns differ, so the ratio of the two medians beside it is another.
- *Start*: from `dream up` to the first yes of `/readyz`.
- *From POST to the end of the first iteration*: that iteration is in it. Where one alone takes more
  than half a second, as it does with AVX2 only, this does too.
"""

NOT_ON_GPU = """\
## What nobody has measured

- GPUs: [what is done on them](gpu.md), CUDA and MPS. No figure above is of one, and no run has told
  yet how fast they are; `python -m benchmarks.gpu` does.
- More threads than the machines above have, and CPUs of other kinds.
- Other models: every figure here is VGG-19's.
"""

NOT_MEASURED = """\
## What nobody has measured

- MPS, and GPUs and CPUs of other kinds than those above.
- Other models: every figure here is VGG-19's.
"""
