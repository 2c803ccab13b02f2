window.dataLayer = window.dataLayer || [];
dataLayer.push({ ecommerce: null });
dataLayer.push({
  event: "purchase",
  ecommerce: {
    transaction_id: "ORDER_ID",
    value: 49.9,
    currency: "@CURRENCY@",
    items: [{ item_id: "PRODUCT_ID", item_name: "PRODUCT", price: 24.95, quantity: 2 }],
  },
});
