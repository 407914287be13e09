// Says once that the stage has drawn its first picture, or that none came: where there is no stage, and in a hidden tab.
// It says so at once: a message that overtakes a choice just made on the stage would carry what the page showed before.

const LONGEST = 3000; // milliseconds

export default function ({ setTriggerValue }) {
  const end = performance.now() + LONGEST;
  const look = setInterval(() => {
    if (!(window.particleStage?.frames >= 1) && performance.now() < end) return;
    clearInterval(look);
    setTriggerValue("over", true);
  }, 10);
  return () => clearInterval(look);
}
