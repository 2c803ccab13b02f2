const EVENTS = "@PUBLIC_URL@/v25.0/@PIXEL_ID@/events";

function cookie(request, name) {
  const pairs = (request.headers.get("cookie") || "").split("; ");
  const found = pairs.find((pair) => pair.startsWith(name + "="));
  return found ? decodeURIComponent(found.slice(name.length + 1)) : undefined;
}

/**
 * Tell Doublet what happened, from a route handler: the server's copy of an event whose event_id
 * the browser's has too. Personal values in user_data (em, ph, …) are hashed there before anything
 * is written. Never throws: a shop goes on without it.
 */
export async function sendEvent(request, event) {
  const forwarded = request.headers.get("x-forwarded-for") || "";
  const visitor = {
    client_ip_address: forwarded.split(",")[0].trim() || undefined,
    client_user_agent: request.headers.get("user-agent") || undefined,
    fbp: cookie(request, "_fbp"),
    fbc: cookie(request, "_fbc"),
  };
  const whole = {
    event_time: Math.floor(Date.now() / 1000),
    action_source: "website",
    event_source_url: request.headers.get("referer") || request.url,
    ...event,
    user_data: { ...visitor, ...event.user_data },
  };
  try {
    const answer = await fetch(EVENTS, {
      method: "POST",
      headers: {
        "Content-Type": "application/json",
        Authorization: `Bearer ${process.env.DOUBLET_ACCESS_TOKEN}`,
      },
      body: JSON.stringify({ data: [whole] }),
      signal: AbortSignal.timeout(5000),
    });
    if (!answer.ok) console.error(`Doublet has not taken a ${event.event_name}: ${answer.status}`);
    return answer.ok;
  } catch (error) {
    console.error(`Doublet has not taken a ${event.event_name}: ${error}`);
    return false;
  }
}
