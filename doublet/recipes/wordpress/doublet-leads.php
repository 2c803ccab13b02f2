<?php
/**
 * Plugin Name: Doublet Leads
 * Description: Reports a Lead to Doublet from browser and server, as one, for each form that was taken: Contact Form 7, WPForms, and others by the action doublet_lead.
 * Version: 0.1.0
 * Requires at least: 6.0
 * Requires PHP: 7.4
 * License: Apache-2.0
 */

defined('ABSPATH') || exit;

@FILE wordpress/base_code.txt@

function doublet_forms_script()
{
    ?>
@FILE wordpress/forms.html@
<?php
}
add_action('wp_head', 'doublet_forms_script', 2);

// --- the server's copy ---------------------------------------------------------------------

/** A field that the form's page has added, or any other; empty where there is none. */
function doublet_posted($name)
{
    $value = $_POST[$name] ?? '';
    return is_string($value) ? sanitize_text_field(wp_unslash($value)) : '';
}

/**
 * The Lead of the form being answered. Other form plug-ins call it by
 * do_action('doublet_lead', ['em' => $email, 'ph' => $phone]) once they have taken a form.
 */
function doublet_send_lead($person = [])
{
    $event_id = doublet_posted('doublet_event_id');
    // Without the id nobody could tell that it is the browser's Lead.
    if ($event_id === '') {
        return;
    }
    // Not wp_get_referer(), which knows none for a form that posts to its own page.
    $page = esc_url_raw(wp_unslash($_SERVER['HTTP_REFERER'] ?? ''));
    $user_data = [
        'client_ip_address' => $_SERVER['REMOTE_ADDR'] ?? '',
        'client_user_agent' => $_SERVER['HTTP_USER_AGENT'] ?? '',
        'fbp' => doublet_posted('fbp') ?: ($_COOKIE['_fbp'] ?? ''),
        'fbc' => doublet_posted('fbc') ?: ($_COOKIE['_fbc'] ?? ''),
        'em' => doublet_email_hash($person['em'] ?? ''),
        'ph' => trim((string) ($person['ph'] ?? '')),
    ];
    doublet_post([
        'event_name' => 'Lead',
        'event_id' => $event_id,
        'event_time' => time(),
        'action_source' => 'website',
        'event_source_url' => $page ?: home_url('/'),
        'user_data' => array_filter($user_data, 'strlen'),
    ], 0);
}
add_action('doublet_lead', 'doublet_send_lead');

function doublet_email_hash($text)
{
    $address = strtolower(trim((string) $text));
    return is_email($address) ? hash('sha256', $address) : '';
}

/** Post an event; what is not taken is tried again later, with its id, and counts once. */
function doublet_post($event, $tries)
{
    $token = defined('DOUBLET_ACCESS_TOKEN') ? DOUBLET_ACCESS_TOKEN : getenv('DOUBLET_ACCESS_TOKEN');
    $answer = wp_remote_post('@PUBLIC_URL@/v25.0/@PIXEL_ID@/events', [
        'timeout' => 5,
        'headers' => [
            'Content-Type' => 'application/json',
            'Authorization' => 'Bearer ' . $token,
        ],
        'body' => wp_json_encode(['data' => [$event]]),
    ]);
    $status = is_wp_error($answer) ? 0 : (int) wp_remote_retrieve_response_code($answer);
    if ($status === 200) {
        return;
    }
    error_log("Doublet has not taken a Lead: status $status");
    if ($tries < 6 && ($status === 0 || $status === 429 || $status >= 500)) {
        // What waits lies in the database: nothing of the person is in it but a hash.
        unset($event['user_data']['ph']);
        $delay_s = 60 * 4 ** $tries;
        wp_schedule_single_event(time() + $delay_s, 'doublet_post', [$event, $tries + 1]);
    }
}
add_action('doublet_post', 'doublet_post', 10, 2);

// --- form plug-ins -------------------------------------------------------------------------

/** The first e-mail address and phone number among a form's values, by their fields' names. */
function doublet_person($values)
{
    $person = [];
    foreach ($values as $name => $value) {
        if (!is_string($value) || $value === '') {
            continue;
        }
        if (is_email(trim($value))) {
            $person += ['em' => $value];
        } elseif (preg_match('/phone|mobile|(^|[-_ ])tel/i', $name)) {
            $person += ['ph' => $value];
        }
    }
    return $person;
}

// Contact Form 7.
add_action('wpcf7_mail_sent', function () {
    $submission = WPCF7_Submission::get_instance();
    if ($submission) {
        doublet_send_lead(doublet_person($submission->get_posted_data()));
    }
});

// WPForms: each field has its name, type and value.
add_action('wpforms_process_complete', function ($fields) {
    $values = [];
    foreach ($fields as $field) {
        $values[($field['type'] ?? '') . ' ' . ($field['name'] ?? '')] = $field['value'] ?? '';
    }
    doublet_send_lead(doublet_person($values));
});
