"""The words of the field that the pages use, each explained in one sentence where it stands."""

import re

from app.quoting import escape

TERMS = {
    "KL(model ∥ data)": (
        "The Kullback–Leibler divergence, averaged over the model’s samples: it grows where the model puts points "
        "that the data hardly has. 0 means that the two laws are the same."
    ),
    "KL(data ∥ model)": (
        "The Kullback–Leibler divergence, averaged over the data: it grows where the model misses a part of the "
        "data. 0 means that the two laws are the same."
    ),
    "KL divergence": (
        "The Kullback–Leibler divergence: how far one law is from another, as one number. 0 means that they are "
        "the same; a hundredth of a nat can hardly be seen, a whole nat plainly."
    ),
    "KL": (
        "The Kullback–Leibler divergence: how far one law is from another, as one number. 0 means that they are "
        "the same; a hundredth of a nat can hardly be seen, a whole nat plainly."
    ),
    "nats": "The unit of KL with natural logarithms. One nat is 1.44 bits.",
    "δ": (
        "The time at which the last jump ends. Samples are compared with the data at that noise level; at δ = 0 "
        "with the data themselves."
    ),
    "η": (
        "How much noise is added after a jump, as a time: the jump goes on to t − η, and fresh noise brings it "
        "back to t."
    ),
    "network calls": "How often the network is asked for one sample. Each call is one jump, and costs the same.",
    "reverse diffusion": (
        "Diffusion adds noise to data, a little at a time, until only noise is left. Its reverse leads from noise "
        "back to data."
    ),
    "exact density": (
        "The density of the data, known here as a formula. So the error is measured, and not guessed from samples."
    ),
    "exact density (all preimages)": (
        "The model’s own density, by change of variables: every noise point that lands at a place (a preimage) is "
        "found, and what they bring there is added up."
    ),
    "smallest detectable KL": "The floor: what this estimator, with so many samples, cannot tell from 0.",
    "floor": "What this estimator, with so many samples, cannot tell from 0.",
    "95 % intervals": (
        "Computed from other samples in the same way, ninety-five of a hundred such intervals would hold the true KL."
    ),
    "baselines": (
        "Samplers that take many small steps along a score. With the exact score nothing in them is learned: they show "
        "what a learned map saves."
    ),
    "Estimator": "How the number was found. Point at a dot of the chart to see it for every N.",
    "Folds": ("The share of the noise where the map turns space over, left for right. The exact map does so nowhere."),
    "Samples outside every mode": (
        "The share of the samples where the data has hardly any density: strays between its parts."
    ),
    "Stopping at δ": (
        "What stopping early costs by itself, whatever the model: the KL of the data from the data at noise level δ."
    ),
    "DDIM": (
        "The usual solver of diffusion models: straight steps along the score. Here it knows the exact score, so "
        "nothing in it is learned."
    ),
    "N(0, I)": "The standard normal distribution, a round cloud: the noise from which samples start.",
    "p_T": "The data after noise has been added until time T: nearly N(0, I), and not quite.",
    "Bound A": (
        "An upper bound on KL(data ∥ model) of renoised draws, derived in this project from the error of each jump."
    ),
    "score": "The gradient of the log-density: it points to where the noised data is denser.",
    "Semigroup": "Jumping from t to u and then from u to s is jumping from t to s. An exact map keeps to that.",
    "Lagrangian": (
        "Of the landing point: as the time s at which a jump ends moves, the point must move with the flow."
    ),
    "Eulerian": "Of the start: carried along its path, it must keep landing at the same point.",
}
"""Term → sentence. A longer term counts before a shorter one within it."""

_ANY = re.compile("|".join(rf"(?<![\w]){re.escape(term)}(?!\w)" for term in sorted(TERMS, key=len, reverse=True)))


def explained(text: str, marked: set[str] | None = None) -> str:
    """The text as HTML in which each term of :data:`TERMS` is explained the first time that it stands there.

    `marked` holds terms that are explained nearby already, and takes in those that this text explains.
    """
    marked = set() if marked is None else marked
    parts, last = [], 0
    for found in _ANY.finditer(text):
        name = found[0]
        if name not in marked:
            parts += [escape(text[last : found.start()]), explain(name, TERMS[name])]
            marked.add(name)
            last = found.end()
    return "".join(parts) + escape(text[last:])


def explain(shown: str, sentence: str) -> str:
    """A word that shows a sentence to who points at it, taps it or comes to it by Tab (components/terms.js)."""
    return f'<button type="button" class="term" data-words="{escape(sentence)}">{escape(shown)}</button>'
