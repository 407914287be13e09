// The flow maps of the page, and what draws from them: a worker, or the page itself where a host allows none. The
// worker's code and network.wasm are joined to this file by flow_map/__init__.py.

// { evaluator, add, hashOf, ask, forget }, one for the whole document:
//   evaluator                    by what the newest answer was drawn, "webgpu", "wasm" or "javascript"; null until something
//                                can answer
//   add(bundle)                  take a map, as read by readMessage, in place of an earlier one of its name; once for each
//                                hash
//   hashOf(name)                 of the map of that name; undefined where it is not there yet
//   ask(stage, question, take)   draw: `take` is called for every N with what worker.js tells, while `question` is the
//                                newest of that stage; answers to older ones are dropped
function openFlowMaps() {
  const hashes = new Map(), asked = new Map();
  let ids = 0;
  const take = (told) => {
    if (told.failed) console.error(`A flow map could not be drawn from: ${told.failed}`);
    drawer.evaluator = told.evaluator ?? drawer.evaluator;
    const newest = asked.get(told.stage);
    if (newest?.id === told.id) newest.take(told);
  };
  const send = startDrawing(take, (evaluator) => drawer.evaluator = evaluator);
  const drawer = {
    evaluator: null,
    add(bundle) {
      if (hashes.get(bundle.name) === bundle.hash) return;
      hashes.set(bundle.name, bundle.hash);
      send({ map: bundle });
    },
    hashOf: (name) => hashes.get(name),
    ask(stage, question, take) {
      const id = ++ids;
      asked.set(stage, { id, take });
      send({ stage, id, question });
    },
    forget: (stage) => asked.delete(stage),
  };
  return drawer;
}

// Takes a map in, and says so to the stages.
function addFlowMap(bundle) {
  window.consistencyLabMaps ??= openFlowMaps();
  window.consistencyLabMaps.add(bundle);
  window.dispatchEvent(new Event("flowmaps"));
}

// A function that sends messages to a worker; where there can be none, to the same code in the page.
function startDrawing(take, ready) {
  const address = (ending) => URL.createObjectURL(new Blob([FLOW_MAP_WORKER, ending], { type: "text/javascript" }));
  let send = null;
  const early = []; // messages from before it is known which of the two it will be
  const begin = (way, evaluator) => {
    if (send) return;
    send = way;
    ready(evaluator);
    for (const message of early.splice(0)) send(message);
  };
  const inPage = async () => {
    const { answering, compileNetwork, evaluatorOf, NETWORK_WASM } = await import(
      address("\nexport { answering, compileNetwork, evaluatorOf, NETWORK_WASM };")
    );
    const module = compileNetwork(NETWORK_WASM), answer = answering(module);
    begin((message) => answer(message, take), evaluatorOf(module));
  };
  try {
    const worker = new Worker(address("\nserve();"));
    worker.onerror = inPage;
    worker.onmessage = ({ data }) =>
      data.ready ? begin((message) => worker.postMessage(message), data.evaluator) : take(data);
  } catch {
    inPage();
  }
  return (message) => send ? send(message) : early.push(message);
}
