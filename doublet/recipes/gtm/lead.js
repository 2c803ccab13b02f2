window.dataLayer = window.dataLayer || [];
dataLayer.push({ event: "generate_lead", event_id: "EVENT_ID", value: 25, currency: "@CURRENCY@" });
