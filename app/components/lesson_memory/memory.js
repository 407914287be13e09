// The steps of lessons that were seen, { lesson: [numbers] }, in this browser and on this server: each learns what the
// other has. The static site keeps the same under the same name.
const SEEN = "consistency-lab-lessons";

function kept() {
  try {
    const read = JSON.parse(localStorage.getItem(SEEN));
    return read !== null && typeof read === "object" ? read : {};
  } catch {
    return {}; // nothing is kept here
  }
}

export default function ({ data, setStateValue }) {
  const both = kept();
  let news = false;
  for (const [lesson, steps] of Object.entries(both)) {
    news ||= !Array.isArray(steps) || steps.some((n) => !data[lesson]?.includes(n));
  }
  for (const [lesson, steps] of Object.entries(data)) {
    both[lesson] = [...new Set([...(Array.isArray(both[lesson]) ? both[lesson] : []), ...steps])];
  }
  try {
    localStorage.setItem(SEEN, JSON.stringify(both));
  } catch { /* nothing is kept here */ }
  if (news && !window.labLessonsTold) {
    window.labLessonsTold = true; // once in a visit: what is seen from now on the server sees first
    setStateValue("seen", both);
  }
}
