<?php
/* A site of a few pages with the pieces of the recipe `html`; they lie in its folder. */

require getenv('SITE_FOLDER') . '/doublet.php';

$path = rtrim(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH), '/') ?: '/';

function piece($name)
{
    $file = getenv('SITE_FOLDER') . "/$name.html";
    return is_file($file) ? file_get_contents($file) : '';
}

function page($title, $body)
{
    header('Content-Type: text/html; charset=utf-8');
    $head = piece('snippet') . piece('forms');
    echo "<!doctype html><html><head><title>$title</title>$head</head><body>$body</body></html>";
}

if ($path === '/order') {
    doublet_send('Purchase', '1001', ['em' => 'Jane.Doe@Example.com'], [
        'order_id' => '1001', 'value' => '49.90', 'currency' => 'EUR',
    ]);
    header('Location: /thanks?order=1001', true, 303);
} elseif ($path === '/contact') {
    doublet_send('Lead', $_POST['doublet_event_id'], [
        'em' => $_POST['email'], 'fbp' => $_POST['fbp'], 'fbc' => $_POST['fbc'],
    ]);
    header('Location: /thanks', true, 303);
} elseif ($path === '/thanks' && isset($_GET['order'])) {
    $values = ['ORDER_ID' => $_GET['order'], 'VALUE' => '49.90', 'PRODUCT_ID' => 'teacup', 'PRICE' => '24.95'];
    page('Thanks', strtr(piece('purchase'), array_map('htmlspecialchars', $values)));
} elseif ($path === '/thanks') {
    page('Thanks', '<h1>Thanks</h1>');
} else {
    page('Corner Shop', <<<'HTML'
<form action="/order" method="post" data-doublet="off"><button id="buy">Buy</button></form>
<form action="/contact" method="post" name="contact" data-doublet-value="25">
  <input type="email" name="email" value="Jane.Doe@Example.com"><button id="send">Send</button>
</form>
HTML);
}
