"""How exactly every target obeys its laws, in float64, beside what is asked of it.

    python -m benchmarks.targets [name …]

score: |score − autograd of log_prob| / |score|; mass: |∫ p_t − 1|; both the worst over t. composition, inverse (over
one plus the stretch of the way back) and push-forward are those of the exact flow between T = 3 and δ = 0 (0.01 where
p₀ is not smooth), which takes the time shown. Where p₀ is not smooth t starts at 0.01; the column "t → 0" says how
exact the score still is at t = 1e-6.
"""

import sys
import time

from cmcore.flow import ExactFlow
from tests.laws.every_target import HORIZON, TARGETS, draw, flow_end, flow_errors, mass, score_error, times

ASKED = {"score": 1e-8, "mass": 1e-6, "composition": 1e-6, "inverse": 1e-6, "push_forward": 1e-6}


def main() -> None:
    print(f"{'target':24}" + "".join(f"{law:>14}" for law in ASKED) + f"{'t → 0':>12}{'flow, 1,000':>14}  method")
    print(f"{'asked: at most':24}" + "".join(f"{bar:14.0e}" for bar in ASKED.values()))
    for name in sys.argv[1:] or TARGETS:
        target = TARGETS[name]
        found = {
            "score": max(score_error(target, t) for t in times(target)),
            "mass": max(abs(mass(target, t) - 1) for t in times(target) if target.dim < 3 or t == 0.1),
            **flow_errors(target),
        }
        x, flow = draw(target, 1000, t=HORIZON, seed=0), ExactFlow(target)
        start = time.perf_counter()
        flow(x, HORIZON, flow_end(target))
        seconds = time.perf_counter() - start
        numbers = "".join(f"{found[law]:13.1e}{' ' if found[law] <= bar else '!'}" for law, bar in ASKED.items())
        below = "" if target.smooth else f"{score_error(target, 1e-6):.1e}"
        print(f"{name:24}{numbers}{below:>12}{seconds:12.2f} s  {flow.method}", flush=True)


if __name__ == "__main__":
    main()
