<?php
/* A site before the plug-in in SITE_PLUGIN, with the form plug-ins' own ways of sending a form. */

require __DIR__ . '/wordpress.php';

class WPCF7_Submission
{
    public static function get_instance()
    {
        return new self();
    }

    public function get_posted_data()
    {
        return $_POST;
    }
}

require getenv('SITE_PLUGIN');

$path = rtrim(parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH), '/') ?: '/';
$is_post = $_SERVER['REQUEST_METHOD'] === 'POST';

function page($title, $body)
{
    header('Content-Type: text/html; charset=utf-8');
    echo "<!doctype html><html><head><meta charset=\"utf-8\"><title>$title</title>";
    do_action('wp_head');
    echo "</head><body><h1>$title</h1>$body</body></html>";
}

if ($path === '/cf7' && $is_post) {
    $is_sent = ($_POST['your-email'] ?? '') !== 'spam@example.com';
    if ($is_sent) {
        do_action('wpcf7_mail_sent', (object) ['id' => 1]);
    }
    wp_send_json(['status' => $is_sent ? 'mail_sent' : 'spam']);
} elseif ($path === '/wpforms' && $is_post) {
    do_action('wpforms_process_complete', [
        ['id' => 0, 'type' => 'email', 'name' => 'E-mail', 'value' => $_POST['wpforms']['fields'][0]],
        ['id' => 1, 'type' => 'phone', 'name' => 'Phone', 'value' => $_POST['wpforms']['fields'][1]],
        ['id' => 2, 'type' => 'payment-total'],
    ], [], [], 0);
    isset($_GET['ajax']) ? wp_send_json(['success' => true]) : page('Contact', '<div id="wpforms-confirmation-7">Thanks!</div>');
} elseif ($path === '/thank-you' && $is_post) {
    do_action('doublet_lead', ['em' => $_POST['email']]);
    page('Thank you', '');
} elseif ($path === '/contact' && $is_post) {
    do_action('doublet_lead', ['em' => $_POST['email']]);
    page('Contact', '<p data-doublet-thanks>Thanks!</p>');
} elseif ($path === '/contact') {
    page('Contact', '<form id="own" method="post"><input type="email" name="email" '
        . 'value="Jane.Doe@Example.com"><button>Send</button></form>');
} else {
    page('Contact', <<<'HTML'
<div class="wpcf7"><form id="cf7" class="wpcf7-form">
  <input type="email" name="your-email" value="Jane.Doe@Example.com" required>
  <input type="tel" name="your-phone" value="+49 170 1234567">
  <button>Send</button>
</form></div>
<form id="wpforms-ajax" class="wpforms-form wpforms-ajax-form">
  <input type="email" name="wpforms[fields][0]" value="Jane.Doe@Example.com">
  <input type="tel" name="wpforms[fields][1]" value="+49 170 1234567">
  <button>Send</button>
</form>
<form id="wpforms" class="wpforms-form" method="post" action="/wpforms">
  <input type="email" name="wpforms[fields][0]" value="Jane.Doe@Example.com">
  <input type="tel" name="wpforms[fields][1]" value="+49 170 1234567">
  <button>Send</button>
</form>
<form id="plain" method="post" action="/thank-you">
  <input type="email" name="email" value="Jane.Doe@Example.com"><button>Send</button>
</form>
<form id="search" action="/"><input name="s"><button>Search</button></form>
<script>
  // As much of jQuery as it takes to hear of WPForms.
  window.jQuery = (target) => ({ on: (name, hear) => target.addEventListener(name, hear) });
  document.getElementById("wpforms-ajax").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    const answer = await fetch("/wpforms?ajax=1", { method: "POST", body: new FormData(form) });
    const isTaken = (await answer.json()).success;
    if (isTaken) form.dispatchEvent(new CustomEvent("wpformsAjaxSubmitSuccess", { bubbles: true }));
    form.dataset.taken = isTaken;
  });
  document.getElementById("cf7").addEventListener("submit", async (event) => {
    event.preventDefault();
    const form = event.target;
    const answer = await fetch("/cf7", { method: "POST", body: new FormData(form) });
    const name = (await answer.json()).status === "mail_sent" ? "wpcf7mailsent" : "wpcf7spam";
    form.parentElement.dispatchEvent(new CustomEvent(name, { bubbles: true }));
    form.dataset.status = name;
  });
</script>
HTML);
}
