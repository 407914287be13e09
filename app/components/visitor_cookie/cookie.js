// Keeps the visitor's token in a cookie, so that a reload brings it back with the first request. It holds nothing else.

export default function ({ data }) {
  const secure = location.protocol === "https:" ? "; Secure" : "";
  document.cookie = `${data.name}=${data.token}; Max-Age=${data.seconds}; Path=/; SameSite=Strict${secure}`;
}
