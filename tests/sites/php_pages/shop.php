<?php
/* A small shop before the plug-in in SITE_PLUGIN: the pages, AJAX and REST of WooCommerce. */

require __DIR__ . '/wordpress.php';
require getenv('SITE_PLUGIN');

$path = rtrim(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH), '/') ?: '/';
$method = $_SERVER['REQUEST_METHOD'];
$query = [];

function page($title, $body)
{
    header('Content-Type: text/html; charset=utf-8');
    echo "<!doctype html><html><head><meta charset=\"utf-8\"><title>$title</title>";
    do_action('wp_head');
    echo "</head><body><h1>$title</h1>$body";
    do_action('wp_footer');
    echo '</body></html>';
}

function go($address)
{
    header("Location: $address", true, 303);
}

function received_url($order)
{
    return '/checkout/order-received/' . $order->get_id() . '/?key=' . $order->get_order_key();
}

do_action('before_woocommerce_init');
if (isset($_GET['wc-ajax'])) {
    if ($_GET['wc-ajax'] === 'add_to_cart') {
        WC()->cart->add_to_cart((int) $_POST['product_id'], 1, 0);
        wp_send_json(['fragments' => []]);
    } else {
        do_action('wc_ajax_' . $_GET['wc-ajax']);
    }
} elseif (isset($_POST['add-to-cart'])) {
    $variation = (int) ($_POST['variation_id'] ?? 0);
    WC()->cart->add_to_cart((int) $_POST['add-to-cart'], (int) $_POST['quantity'], $variation);
    go('/cart/');
} elseif (preg_match('~^/product/(\d+)$~', $path, $found)) {
    $query['p'] = (int) $found[1];
    $name = htmlspecialchars(PRODUCTS[$query['p']]['name']);
    $variation = $query['p'] === 20 ? '<input type="hidden" name="variation_id" value="21">' : '';
    page($name, <<<HTML
<form method="post" class="cart">
  <input type="number" name="quantity" value="2">$variation
  <button name="add-to-cart" value="{$query['p']}">Add to cart</button>
</form>
<a href="#" id="quick" onclick="quick(event)">Add to cart quickly</a>
<script>
  async function quick(event) {
    event.preventDefault();
    const body = new URLSearchParams({ product_id: "{$query['p']}" });
    await fetch("/?wc-ajax=add_to_cart", { method: "POST", body });
    document.body.dispatchEvent(new CustomEvent("wc-blocks_added_to_cart", { bubbles: true }));
  }
</script>
HTML);
} elseif ($path === '/wp-json/wc/store/v1/checkout') {
    $order = order_of_cart();
    $order->save();
    $order = wc_get_order($order->get_id());
    do_action('woocommerce_store_api_checkout_update_order_meta', $order);
    wp_send_json(['redirect_url' => received_url($order)]);
} elseif ($path === '/checkout' && $method === 'POST') {
    $order = order_of_cart();
    do_action('woocommerce_checkout_create_order', $order, []);
    $order->save();
    change_state(function (&$state) {
        $state['cart'] = [];
    });
    go(received_url($order));
} elseif ($path === '/checkout') {
    $query['is_checkout'] = true;
    page('Checkout', '<form method="post"><button id="place_order">Place order</button></form>');
} elseif (preg_match('~^/checkout/order-received/(\d+)$~', $path, $found)) {
    $query = ['is_checkout' => true, 'order-received' => $found[1]];
    page('Order received', '');
} else {
    page('Corner Shop', '<a href="/product/11/">Tea</a> <a href="/checkout/">Checkout</a>');
}
