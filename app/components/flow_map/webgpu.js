// Whole chains of jumps on the graphics processor (jump.wgsl): one submission draws, and one reading brings all states.

// The device, or null where there is none to be had.
async function openDevice() {
  try {
    const adapter = await navigator.gpu.requestAdapter();
    return await adapter.requestDevice();
  } catch {
    return null;
  }
}

// What `make` makes with a device, or its first error, for which the console would be the place otherwise. Whatever the
// device is asked for is asked for before the first await.
async function checked(device, make) {
  const kinds = ["validation", "out-of-memory", "internal"];
  for (const kind of kinds) device.pushErrorScope(kind);
  const making = (async () => await make())();
  const [made, ...errors] = await Promise.all([making, ...kinds.map(() => device.popErrorScope())]);
  const error = errors.find((one) => one);
  if (error) throw new Error(error.message);
  return made;
}

const WARP = 32; // threads that most graphics processors run in step
const SLOT = 256; // bytes from one jump's numbers to the next one's; WebGPU allows it everywhere

// A form (map.js) on a device: { draw(chain, noise, fresh) }, which answers as `draw` of chain.js does, or throws.
async function onDevice(form, device) {
  const { STORAGE, UNIFORM, COPY_SRC, COPY_DST, MAP_READ } = GPUBufferUsage;
  const { dim, layers, multiples, experts, sharpness } = form;
  const widths = [layers[0].inputs, ...layers.map((layer) => layer.outputs)], widest = inFours(Math.max(...widths));
  const bufferOf = (values, usage) => {
    const buffer = device.createBuffer({ size: Math.max(16, values.byteLength), usage: usage | COPY_DST });
    device.queue.writeBuffer(buffer, 0, values);
    return buffer;
  };
  const entries = ["uniform", ...Array(5).fill("read-only-storage"), "storage"].map((type, binding) => ({
    binding,
    visibility: GPUShaderStage.COMPUTE,
    buffer: { type, hasDynamicOffset: type === "uniform" },
  }));
  const { layout, pipeline, ofMap } = await checked(device, async () => {
    const ofMap = [Uint32Array.from(widths), inQuarterTurns(multiples), byInput(layers)].map((values) =>
      bufferOf(values, STORAGE)
    );
    const layout = device.createBindGroupLayout({ entries });
    const pipeline = await device.createComputePipelineAsync({
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: {
        module: device.createShaderModule({ code: JUMP_WGSL }),
        constants: {
          DIM: dim,
          MULTIPLES: multiples.length,
          LAYERS: layers.length,
          WIDEST: widest,
          EXPERTS: experts,
          SHARPNESS: sharpness,
          THREADS: WARP * Math.ceil(widest / (4 * WARP)),
        },
      },
    });
    return { layout, pipeline, ofMap };
  });

  const draw = (chain, noise, fresh) =>
    checked(device, async () => {
      const n = noise.length / dim, bytes = noise.byteLength * (2 * chain.length + 1);
      const path = device.createBuffer({ size: bytes, usage: STORAGE | COPY_SRC | COPY_DST });
      const back = device.createBuffer({ size: bytes, usage: MAP_READ | COPY_DST });
      const jumps = chain.map(({ t, s }) => form.jumpOf(t, s));
      const ofDraw = [
        bufferOf(byJump(jumps), STORAGE),
        bufferOf(fresh ?? new Float32Array(1), STORAGE),
        path,
      ];
      const numbers = bufferOf(numbersOf(chain, jumps, n, dim), UNIFORM);
      device.queue.writeBuffer(path, 0, noise);
      const bound = [{ buffer: numbers, size: 32 }, ...[...ofMap, ...ofDraw].map((buffer) => ({ buffer }))];
      const group = device.createBindGroup({
        layout,
        entries: bound.map((resource, binding) => ({ binding, resource })),
      });
      const commands = device.createCommandEncoder(), pass = commands.beginComputePass();
      pass.setPipeline(pipeline);
      chain.forEach((_, k) => {
        pass.setBindGroup(0, group, [SLOT * k]);
        pass.dispatchWorkgroups(Math.ceil(n / 4));
      });
      pass.end();
      commands.copyBufferToBuffer(path, 0, back, 0, bytes);
      device.queue.submit([commands.finish()]);
      try {
        await back.mapAsync(GPUMapMode.READ);
        return read(new Float32Array(back.getMappedRange().slice()), noise);
      } finally {
        for (const buffer of [numbers, ...ofDraw, back]) buffer.destroy();
      }
    });
  return { draw };
}

// Multiples of a coordinate as multiples of a quarter turn, each as twelve bits and the rest.
function inQuarterTurns(multiples) {
  const turns = Float64Array.from(multiples, (multiple) => 2 * multiple / Math.PI);
  return Float32Array.from([...turns].flatMap((turn) => {
    const unit = 2 ** (Math.floor(Math.log2(turn)) - 11), coarse = Math.round(turn / unit) * unit;
    return [coarse, turn - coarse];
  }));
}

// All biases, then all weights of each input, layer by layer: neighbouring threads read neighbouring numbers. Outputs come
// in fours, with zeros behind the last.
function byInput(layers) {
  const all = new Float32Array(layers.reduce((sum, { inputs, outputs }) => sum + (inputs + 1) * inFours(outputs), 0));
  let at = 0;
  for (const { inputs, outputs, weight, bias } of layers) {
    for (let i = -1; i < inputs; i++, at += inFours(outputs)) {
      for (let o = 0; o < outputs; o++) all[at + o] = i < 0 ? bias[o] : weight[o * inputs + i];
    }
  }
  return all;
}

const inFours = (n) => 4 * Math.ceil(n / 4);

// The first layer's biases, jump by jump.
function byJump(jumps) {
  const stride = inFours(jumps[0].bias.length), all = new Float32Array(stride * jumps.length);
  jumps.forEach(({ bias }, k) => all.set(bias, stride * k));
  return all;
}

// What jump.wgsl calls a Jump, for each of a chain.
function numbersOf(chain, jumps, n, dim) {
  const all = new ArrayBuffer(SLOT * chain.length);
  chain.forEach(({ scale, spread }, k) => {
    new Uint32Array(all, SLOT * k).set([n, k, dim * noisyOf(chain), dim * noisyOf(chain.slice(0, k))]);
    new Float32Array(all, SLOT * k + 16).set([jumps[k].skip, jumps[k].out, scale, spread]);
  });
  return all;
}

// States and landings from a path: the noise, then a landing and a state for each jump.
function read(path, noise) {
  const size = noise.length, states = [noise], landings = [];
  for (let at = size; at < path.length; at += 2 * size) {
    landings.push(path.subarray(at, at + size));
    states.push(path.subarray(at + size, at + 2 * size));
  }
  return { states, landings };
}
