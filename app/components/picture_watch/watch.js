// Says once that the stage has drawn its first picture, or that none came: where there is no stage, and in a hidden tab.

const LONGEST = 3000; // milliseconds

export default function ({ setTriggerValue }) {
  const end = performance.now() + LONGEST;
  let look = setInterval(() => {
    if (!(window.particleStage?.frames >= 2) && performance.now() < end) return;
    clearInterval(look);
    look = null;
    setTriggerValue("over", true);
  }, 30);
  return () => clearInterval(look);
}
