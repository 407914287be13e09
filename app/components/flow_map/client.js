// The flow maps of the page, and the one who draws from them: a worker, or the page itself where a host allows none. The
// worker's code and network.wasm are joined to this file by flow_map/__init__.py.

// { add, has, ask, compiled }, one for the whole document:
//   add(bundle)                  take a map, as read by readMessage; once for each hash
//   has(hash)                    whether it is there
//   ask(stage, question, take)   draw: `take` is called for every N with what worker.js tells, while `question` is the
//                                newest of that stage; answers to older ones are dropped
function openFlowMaps() {
  const hashes = new Set(), asked = new Map();
  let ids = 0;
  const take = (told) => {
    const question = asked.get(told.stage);
    if (question?.id === told.id) question.take(told);
  };
  const send = startDrawing(take);
  return {
    has: (hash) => hashes.has(hash),
    add(bundle) {
      if (hashes.has(bundle.hash)) return;
      hashes.add(bundle.hash);
      send({ map: bundle });
    },
    ask(stage, question, takes) {
      const id = ++ids;
      asked.set(stage, { id, take: takes });
      send({ stage, id, question });
    },
    forget: (stage) => asked.delete(stage),
  };
}

// A function that sends messages to a worker; where there can be none, to the same code in the page.
function startDrawing(take) {
  const address = (ending) => URL.createObjectURL(new Blob([FLOW_MAP_WORKER, ending], { type: "text/javascript" }));
  let send = null;
  const early = []; // messages from before it is known which of the two it will be
  const begin = (way) => {
    send ??= way;
    for (const message of early.splice(0)) send(message);
  };
  const inPage = async () => {
    const { answering, compileNetwork, NETWORK_WASM } = await import(
      address("\nexport { answering, compileNetwork, NETWORK_WASM };")
    );
    const answer = answering(compileNetwork(NETWORK_WASM));
    begin((message) => answer(message, take));
  };
  try {
    const worker = new Worker(address("\nserve();"));
    worker.onerror = inPage;
    worker.onmessage = ({ data }) => data.ready ? begin((message) => worker.postMessage(message)) : take(data);
  } catch {
    inPage();
  }
  return (message) => send ? send(message) : early.push(message);
}
