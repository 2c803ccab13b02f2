<?php
/**
 * Plugin Name: Doublet Pixel for WooCommerce
 * Description: Reports visits, carts and orders to Doublet from the browser, and keeps with each order the event id that its webhook reports it by.
 * Version: 0.1.0
 * Requires at least: 6.0
 * Requires PHP: 7.4
 * Requires Plugins: woocommerce
 * WC requires at least: 7.0
 * License: Apache-2.0
 */

defined('ABSPATH') || exit;

@FILE wordpress/base_code.txt@

// --- what is told --------------------------------------------------------------------------

/** The id by which webhooks call the same thing: the variation's where there is one. */
function doublet_content_id($product_id, $variation_id = 0)
{
    return (string) ($variation_id ?: $product_id);
}

/** Parameters of an event about these lines, each an array of id, quantity and item_price. */
function doublet_contents($lines, $value)
{
    return [
        'content_type' => 'product',
        'content_ids' => array_values(array_unique(array_column($lines, 'id'))),
        'contents' => $lines,
        'num_items' => array_sum(array_column($lines, 'quantity')),
        'value' => round((float) $value, 4),
        'currency' => get_woocommerce_currency(),
    ];
}

/** A call of the pixel; nothing in a product's name can end the script around it. */
function doublet_call($event_name, $params, $event_id)
{
    $flags = JSON_HEX_TAG | JSON_HEX_AMP | JSON_INVALID_UTF8_SUBSTITUTE;
    $words = [$event_name, $params, ['eventID' => (string) $event_id]];
    $json = array_map(function ($word) use ($flags) {
        return wp_json_encode($word, $flags);
    }, $words);
    return 'fbq("track", ' . implode(', ', $json) . ');';
}

/** The events of this page, below everything else. */
function doublet_page_events()
{
    if (!function_exists('WC')) {
        return;
    }
    $calls = doublet_waiting_calls();
    if (is_order_received_page()) {
        $calls[] = doublet_purchase_call((int) get_query_var('order-received'));
    } elseif (is_product()) {
        $calls[] = doublet_product_call(wc_get_product(get_queried_object_id()));
    } elseif (is_checkout()) {
        $calls[] = doublet_checkout_call();
    }
    echo '<script>', implode("\n", array_filter($calls)), "</script>\n";
    doublet_cart_script();
}
add_action('wp_footer', 'doublet_page_events', 99);

function doublet_product_call($product)
{
    if (!$product) {
        return '';
    }
    $is_group = $product->is_type('variable') || $product->is_type('grouped');
    $price = (float) $product->get_price();
    $line = ['id' => (string) $product->get_id(), 'quantity' => 1, 'item_price' => $price];
    $params = ['content_name' => $product->get_name()] + doublet_contents([$line], $price);
    $params['content_type'] = $is_group ? 'product_group' : 'product';
    return doublet_call('ViewContent', $params, wp_generate_uuid4());
}

function doublet_checkout_call()
{
    $lines = [];
    $total = 0;
    foreach (WC()->cart ? WC()->cart->get_cart() : [] as $item) {
        $price = (float) $item['data']->get_price();
        $total += $price * $item['quantity'];
        $lines[] = [
            'id' => doublet_content_id($item['product_id'], $item['variation_id']),
            'quantity' => $item['quantity'],
            'item_price' => $price,
        ];
    }
    if (!$lines) {
        return '';
    }
    return doublet_call('InitiateCheckout', doublet_contents($lines, $total), wp_generate_uuid4());
}

// --- the cart ------------------------------------------------------------------------------

/** An item may come by a page, by AJAX or by blocks: it waits in the session until a page asks. */
function doublet_added_to_cart($key, $product_id, $quantity, $variation_id)
{
    $product = wc_get_product($variation_id ?: $product_id);
    if (!$product || !WC()->session) {
        return;
    }
    $price = (float) $product->get_price();
    $line = [
        'id' => doublet_content_id($product_id, $variation_id),
        'quantity' => $quantity,
        'item_price' => $price,
    ];
    $params = ['content_name' => $product->get_name()];
    $params += doublet_contents([$line], $price * $quantity);
    $waiting = (array) WC()->session->get('doublet_waiting', []);
    $waiting[] = ['AddToCart', $params, wp_generate_uuid4()];
    WC()->session->set('doublet_waiting', array_slice($waiting, -20));
}
add_action('woocommerce_add_to_cart', 'doublet_added_to_cart', 20, 4);

function doublet_waiting()
{
    $waiting = WC()->session ? (array) WC()->session->get('doublet_waiting', []) : [];
    if ($waiting) {
        WC()->session->set('doublet_waiting', []);
    }
    return $waiting;
}

function doublet_waiting_calls()
{
    return array_map(function ($event) {
        return doublet_call(...$event);
    }, doublet_waiting());
}

function doublet_answer_waiting()
{
    nocache_headers();
    wp_send_json(doublet_waiting());
}
add_action('wc_ajax_doublet_waiting', 'doublet_answer_waiting');

/** Asks what waits whenever a cart was filled without a new page. */
function doublet_cart_script()
{
    $address = wp_json_encode(WC_AJAX::get_endpoint('doublet_waiting'), JSON_HEX_TAG);
    echo <<<HTML
<script>
(function () {
  const ask = () => fetch($address, { method: "POST", credentials: "same-origin" })
    .then((answer) => answer.json())
    .then((events) => events.forEach((event) => {
      fbq("track", event[0], event[1], { eventID: event[2] });
    }))
    .catch(() => {});
  if (window.jQuery) jQuery(document.body).on("added_to_cart", ask);
  document.body.addEventListener("wc-blocks_added_to_cart", ask);
})();
</script>

HTML;
}

// --- the order -----------------------------------------------------------------------------

/** What the order's webhook needs of this browser, kept with the order at the checkout. */
function doublet_keep_visitor($order)
{
    // A second try to pay is the same order, and keeps its id.
    if (!$order->get_meta('_doublet_event_id')) {
        $order->update_meta_data('_doublet_event_id', wp_generate_uuid4());
    }
    $seen = [
        '_doublet_fbp' => $_COOKIE['_fbp'] ?? '',
        '_doublet_fbc' => $_COOKIE['_fbc'] ?? '',
        '_doublet_user_agent' => $_SERVER['HTTP_USER_AGENT'] ?? '',
    ];
    $seen = array_map('sanitize_text_field', wp_unslash($seen));
    $page = $_SERVER['HTTP_REFERER'] ?? wc_get_checkout_url();
    $seen['_doublet_source_url'] = esc_url_raw(wp_unslash($page));
    foreach (array_filter($seen, 'strlen') as $key => $value) {
        $order->update_meta_data($key, $value);
    }
}
// Before the order is saved: the usual checkout.
add_action('woocommerce_checkout_create_order', 'doublet_keep_visitor');
// The checkout block has saved it already.
add_action('woocommerce_store_api_checkout_update_order_meta', function ($order) {
    doublet_keep_visitor($order);
    $order->save();
});

/** The Purchase, once for each order, however often its page is opened. */
function doublet_purchase_call($order_id)
{
    $order = wc_get_order($order_id);
    $key = isset($_GET['key']) ? sanitize_text_field(wp_unslash($_GET['key'])) : '';
    // Whoever guesses an order's number learns nothing of it.
    if (!$order || !hash_equals($order->get_order_key(), $key)) {
        return '';
    }
    if ($order->has_status(['failed', 'cancelled', 'refunded'])) {
        return '';
    }
    if ($order->get_meta('_doublet_purchase_tracked')) {
        return '';
    }
    $order->update_meta_data('_doublet_purchase_tracked', (string) time());
    $order->save();
    $lines = [];
    foreach ($order->get_items() as $item) {
        $lines[] = [
            'id' => doublet_content_id($item->get_product_id(), $item->get_variation_id()),
            'quantity' => $item->get_quantity(),
            'item_price' => (float) $order->get_item_total($item, false, true),
        ];
    }
    $params = ['order_id' => (string) $order->get_id()];
    $params += doublet_contents($lines, $order->get_total());
    $params['currency'] = $order->get_currency();
    // Without an id of its own, webhooks call it by its number.
    $event_id = $order->get_meta('_doublet_event_id') ?: $order->get_meta('_meta_event_id');
    return doublet_call('Purchase', $params, $event_id ?: $order->get_id());
}

// The order's fields stay where WooCommerce keeps them, in tables of its own too.
add_action('before_woocommerce_init', function () {
    $features = '\Automattic\WooCommerce\Utilities\FeaturesUtil';
    if (class_exists($features)) {
        $features::declare_compatibility('custom_order_tables', __FILE__, true);
        $features::declare_compatibility('cart_checkout_blocks', __FILE__, true);
    }
});

// A renewal is an order of its own, with an id of its own.
add_filter('wc_subscriptions_renewal_order_data', function ($data) {
    $kept = function ($key) {
        return strpos($key, '_doublet_') !== 0;
    };
    return array_filter($data, $kept, ARRAY_FILTER_USE_KEY);
});
