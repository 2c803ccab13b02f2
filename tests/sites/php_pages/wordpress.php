<?php
/*
 * What the plug-ins use of WordPress and WooCommerce, by their documented behaviour: hooks, the
 * session, products, cart, orders. State lies in the file SITE_STATE, one visitor's.
 */

define('ABSPATH', __DIR__ . '/');

// --- state -----------------------------------------------------------------------------------

function state()
{
    $text = @file_get_contents(getenv('SITE_STATE'));
    $empty = ['session' => [], 'cart' => [], 'orders' => [], 'scheduled' => []];
    return $text ? json_decode($text, true) : $empty;
}

function change_state($change)
{
    $state = state();
    $change($state);
    file_put_contents(getenv('SITE_STATE'), json_encode($state), LOCK_EX);
}

// --- hooks: a named function is added once, as WordPress has it -------------------------------

$hooks = [];

function add_filter($hook, $function, $priority = 10, $count = 1)
{
    global $hooks;
    $key = is_string($function) ? $function : spl_object_hash((object) $function);
    $hooks[$hook][$priority][$key] = [$function, $count];
    ksort($hooks[$hook]);
}

function add_action($hook, $function, $priority = 10, $count = 1)
{
    add_filter($hook, $function, $priority, $count);
}

function apply_filters($hook, $value, ...$others)
{
    global $hooks;
    foreach ($hooks[$hook] ?? [] as $functions) {
        foreach ($functions as [$function, $count]) {
            $value = $function(...array_slice([$value, ...$others], 0, $count));
        }
    }
    return $value;
}

function do_action($hook, ...$values)
{
    global $hooks;
    foreach ($hooks[$hook] ?? [] as $functions) {
        foreach ($functions as [$function, $count]) {
            $function(...array_slice($values ?: [''], 0, $count));
        }
    }
}

// --- WordPress -------------------------------------------------------------------------------

function wp_json_encode($value, $flags = 0)
{
    return json_encode($value, $flags);
}

function wp_unslash($value)
{
    return is_array($value) ? array_map('wp_unslash', $value) : stripslashes($value);
}

function sanitize_text_field($text)
{
    return trim(preg_replace('/\s+|%[a-f0-9]{2}/i', ' ', strip_tags($text)));
}

function esc_url_raw($url)
{
    return preg_match('~^https?://~', $url) ? str_replace(['"', "'", '<', '>', ' '], '', $url) : '';
}

function wp_generate_uuid4()
{
    return vsprintf('%s%s-%s-4%.3s-8%.3s-%s%s%s', str_split(bin2hex(random_bytes(16)) . '0', 4));
}

function is_email($text)
{
    return filter_var($text, FILTER_VALIDATE_EMAIL);
}

function home_url($path = '')
{
    return 'http://' . $_SERVER['HTTP_HOST'] . $path;
}

function nocache_headers()
{
    header('Cache-Control: no-store');
}

function wp_send_json($value)
{
    header('Content-Type: application/json');
    echo json_encode($value);
}

function get_query_var($name)
{
    global $query;
    return $query[$name] ?? '';
}

function get_queried_object_id()
{
    return (int) get_query_var('p');
}

class WP_Error
{
}

function is_wp_error($value)
{
    return $value instanceof WP_Error;
}

function wp_remote_post($url, $arguments)
{
    $headers = [];
    foreach ($arguments['headers'] as $name => $value) {
        $headers[] = "$name: $value";
    }
    $request = [
        'method' => 'POST',
        'header' => $headers,
        'content' => $arguments['body'],
        'timeout' => $arguments['timeout'],
        'ignore_errors' => true,
    ];
    $body = @file_get_contents($url, false, stream_context_create(['http' => $request]));
    return $body === false ? new WP_Error() : ['head' => $http_response_header[0], 'body' => $body];
}

function wp_remote_retrieve_response_code($answer)
{
    return (int) explode(' ', $answer['head'])[1];
}

function wp_schedule_single_event($at, $hook, $values)
{
    change_state(function (&$state) use ($hook, $values) {
        $state['scheduled'][] = [$hook, $values];
    });
}

// --- WooCommerce -----------------------------------------------------------------------------

class Product
{
    public function __construct(public array $row)
    {
    }

    public function get_id()
    {
        return $this->row['id'];
    }

    public function get_name()
    {
        return $this->row['name'];
    }

    public function get_price()
    {
        return (string) $this->row['price'];
    }

    public function is_type($type)
    {
        return ($this->row['type'] ?? 'simple') === $type;
    }
}

const PRODUCTS = [
    11 => ['id' => 11, 'name' => 'Tea "Earl" & <b>Grey</b></script><script>window.hacked=1</script>', 'price' => 12.5],
    20 => ['id' => 20, 'name' => 'Mug', 'price' => 9, 'type' => 'variable'],
    21 => ['id' => 21, 'name' => 'Mug, blue', 'price' => 9.95, 'type' => 'variation'],
];

function wc_get_product($id)
{
    return isset(PRODUCTS[$id]) ? new Product(PRODUCTS[$id]) : false;
}

class Session
{
    public function get($key, $otherwise = null)
    {
        return state()['session'][$key] ?? $otherwise;
    }

    public function set($key, $value)
    {
        change_state(function (&$state) use ($key, $value) {
            $state['session'][$key] = $value;
        });
    }
}

class Cart
{
    public function get_cart()
    {
        return array_map(function ($item) {
            return $item + ['data' => wc_get_product($item['variation_id'] ?: $item['product_id'])];
        }, state()['cart']);
    }

    public function add_to_cart($product_id, $quantity, $variation_id)
    {
        $item = compact('product_id', 'quantity', 'variation_id');
        change_state(function (&$state) use ($item) {
            $state['cart'][] = $item;
        });
        do_action('woocommerce_add_to_cart', uniqid(), $product_id, $quantity, $variation_id, [], []);
    }
}

class OrderItem
{
    public function __construct(public array $row)
    {
    }

    public function get_product_id()
    {
        return $this->row['product_id'];
    }

    public function get_variation_id()
    {
        return $this->row['variation_id'];
    }

    public function get_quantity()
    {
        return $this->row['quantity'];
    }
}

class WC_Order
{
    public function __construct(public array $row)
    {
    }

    public function get_id()
    {
        return $this->row['id'];
    }

    public function get_order_key()
    {
        return $this->row['order_key'];
    }

    public function get_currency()
    {
        return $this->row['currency'];
    }

    public function get_total()
    {
        return $this->row['total'];
    }

    public function has_status($statuses)
    {
        return in_array($this->row['status'], (array) $statuses, true);
    }

    public function get_meta($key)
    {
        return $this->row['meta'][$key] ?? '';
    }

    public function update_meta_data($key, $value)
    {
        $this->row['meta'][$key] = $value;
    }

    public function get_items()
    {
        return array_map(fn ($row) => new OrderItem($row), $this->row['items']);
    }

    public function get_item_total($item, $with_tax, $is_rounded)
    {
        return number_format($item->row['price'], 2, '.', '');
    }

    public function save()
    {
        change_state(function (&$state) {
            $state['orders'][$this->row['id']] = $this->row;
        });
    }
}

function wc_get_order($id)
{
    $row = state()['orders'][$id] ?? null;
    return $row ? new WC_Order($row) : false;
}

/** The order of what is in the cart, not saved yet. */
function order_of_cart()
{
    $items = [];
    foreach (state()['cart'] as $item) {
        $product = wc_get_product($item['variation_id'] ?: $item['product_id']);
        $items[] = $item + ['price' => (float) $product->get_price()];
    }
    $total = array_sum(array_map(fn ($item) => $item['price'] * $item['quantity'], $items)) + 4.9;
    return new WC_Order([
        'id' => 500 + count(state()['orders']) + 1,
        'order_key' => 'wc_order_' . bin2hex(random_bytes(6)),
        'status' => 'processing',
        'currency' => 'EUR',
        'total' => number_format($total, 2, '.', ''),
        'items' => $items,
        'meta' => [],
        'ip' => $_SERVER['REMOTE_ADDR'],
        'user_agent' => $_SERVER['HTTP_USER_AGENT'] ?? '',
        'created' => gmdate('Y-m-d\TH:i:s'),
    ]);
}

class Shop
{
    public $session;
    public $cart;
}

function WC()
{
    static $shop = null;
    if (!$shop) {
        $shop = new Shop();
        $shop->session = new Session();
        $shop->cart = new Cart();
    }
    return $shop;
}

class WC_AJAX
{
    public static function get_endpoint($name)
    {
        return '/?wc-ajax=' . $name;
    }
}

function get_woocommerce_currency()
{
    return 'EUR';
}

function wc_get_checkout_url()
{
    return home_url('/checkout/');
}

function is_product()
{
    return (bool) get_query_var('p');
}

function is_checkout()
{
    return (bool) get_query_var('is_checkout');
}

function is_order_received_page()
{
    return (bool) get_query_var('order-received');
}
