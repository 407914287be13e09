// The network inside a flow map, for many points at once: affine layers with SiLU between them, in single precision.
//
// A vector holds one number of four points, so that every instruction works on four points: what is written below for a
// number is meant for four. Eight outputs of a layer are summed side by side, for which one reading of an input serves.
//
// Where things lie in memory is decided by the caller (network.js). Numbers of points come in fours: input i of the
// points 4p … 4p + 3 is the vector points[p * inputs + i]. The weights come layer by layer, and in a layer eight outputs
// at a time: their eight biases, then for each input its eight weights; where outputs are no multiple of eight, zeros
// fill up. Answers lie as the points do, with the outputs filled up too.
//
// `build_network` compiles this file to network.wasm.

#include <stdint.h>
#include <wasm_simd128.h>

#define TOGETHER 8
#define PART 16 // inputs that are summed before their sum is added to the total: rounding grows with each addition
#define UNROLL _Pragma("clang loop unroll(full)")

// silu(z) = z / (1 + e⁻ᶻ). With e⁻ᶻ = 2ʸ and y = n + f, n whole and |f| ≤ ½: 2ᶠ by a polynomial, of least relative
// error (2e-9), and 2ⁿ written straight into the exponent of a floating-point number.
static inline v128_t silu(v128_t z) {
  v128_t y = wasm_f32x4_mul(z, wasm_f32x4_const_splat(-1.44269504f)); // −log₂ e
  y = wasm_f32x4_min(wasm_f32x4_max(y, wasm_f32x4_const_splat(-126.0f)), wasm_f32x4_const_splat(126.0f));
  v128_t n = wasm_f32x4_nearest(y), f = wasm_f32x4_sub(y, n);
  static const float coefficients[] = {1.534581243e-4f, 1.339993090e-3f, 9.618489072e-3f, 5.550328642e-2f,
                                       2.402264625e-1f, 6.931471825e-1f, 1.0f};
  v128_t power = wasm_f32x4_splat(coefficients[0]);
  UNROLL for (int i = 1; i < 7; i++) {
    power = wasm_f32x4_add(wasm_f32x4_mul(power, f), wasm_f32x4_splat(coefficients[i]));
  }
  v128_t exponent = wasm_i32x4_shl(wasm_i32x4_add(wasm_i32x4_trunc_sat_f32x4(n), wasm_i32x4_splat(127)), 23);
  v128_t one = wasm_f32x4_const_splat(1.0f);
  return wasm_f32x4_div(z, wasm_f32x4_add(one, wasm_f32x4_mul(power, exponent)));
}

// One layer for four points; returns where the weights of the next one begin.
static const float *layer(const float *weights, const v128_t *in, int32_t inputs, v128_t *out, int32_t outputs, int last) {
  for (int32_t o = 0; o < outputs; o += TOGETHER) {
    v128_t *total = out + o;
    UNROLL for (int j = 0; j < TOGETHER; j++) total[j] = wasm_v128_load32_splat(weights + j);
    weights += TOGETHER;
    for (int32_t begin = 0; begin < inputs; begin += PART) {
      int32_t end = begin + PART < inputs ? begin + PART : inputs;
      v128_t sum[TOGETHER] = {0};
      for (int32_t i = begin; i < end; i++) {
        v128_t h = in[i];
        UNROLL for (int j = 0; j < TOGETHER; j++) {
          sum[j] = wasm_f32x4_add(sum[j], wasm_f32x4_mul(h, wasm_v128_load32_splat(weights + j)));
        }
        weights += TOGETHER;
      }
      UNROLL for (int j = 0; j < TOGETHER; j++) total[j] = wasm_f32x4_add(total[j], sum[j]);
    }
    if (!last) {
      UNROLL for (int j = 0; j < TOGETHER; j++) total[j] = silu(total[j]);
    }
  }
  return weights;
}

// The whole network for 4 · fours points. `widths` are the inputs, the units of every hidden layer and the outputs of
// `layers` layers; `even` and `odd` have room for the units of one layer.
__attribute__((export_name("network"))) void network(
    int32_t fours, int32_t layers, const int32_t *widths, const float *weights,
    const v128_t *points, v128_t *answers, v128_t *even, v128_t *odd) {
  for (int32_t p = 0; p < fours; p++) {
    const v128_t *in = points;
    const float *next = weights;
    for (int32_t k = 0; k < layers; k++) {
      v128_t *out = k == layers - 1 ? answers : k % 2 ? odd : even;
      next = layer(next, in, widths[k], out, widths[k + 1], k == layers - 1);
      in = out;
    }
    points += widths[0];
    answers += (widths[layers] + TOGETHER - 1) / TOGETHER * TOGETHER;
  }
}
