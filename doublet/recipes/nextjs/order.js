import { sendEvent } from "@/lib/doublet";
import { placeOrder } from "@/lib/orders"; // your own: keeps the order, takes the money

export async function POST(request) {
  const order = await placeOrder(await request.formData());
  await sendEvent(request, {
    event_name: "Purchase",
    event_id: String(order.id),
    user_data: { em: order.email },
    custom_data: {
      order_id: String(order.id),
      value: order.total,
      currency: "@CURRENCY@",
      content_type: "product",
      contents: order.lines.map((line) => ({
        id: line.productId,
        quantity: line.quantity,
        item_price: line.price,
      })),
    },
  });
  const headers = { Location: `/thanks?order=${order.id}` };
  return new Response(null, { status: 303, headers });
}
