import { saveContact } from "@/lib/contacts"; // your own
import { sendEvent } from "@/lib/doublet";

export async function POST(request) {
  const form = await request.formData();
  await saveContact(form);
  const eventId = crypto.randomUUID();
  await sendEvent(request, {
    event_name: "Lead",
    event_id: eventId,
    user_data: { em: form.get("email") },
  });
  return Response.json({ event_id: eventId });
}
