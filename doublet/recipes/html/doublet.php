<?php
/*
 * The server's copy of an event, for sites in PHP (7.4 or newer). The access token is read from the
 * environment, DOUBLET_ACCESS_TOKEN.
 *
 *   require 'doublet.php';
 *   doublet_send('Lead', $_POST['doublet_event_id'], ['em' => $_POST['email']]);
 *   doublet_send('Purchase', $order_id, ['em' => $email], [
 *       'order_id' => $order_id, 'value' => $total, 'currency' => '@CURRENCY@',
 *   ]);
 */

/**
 * Tell Doublet what happened; true when it has taken it. The id is the one that the browser's copy
 * has. E-mail (em), phone (ph) and so on are hashed there before anything is written.
 */
function doublet_send($event_name, $event_id, $user_data = [], $custom_data = [])
{
    $scheme = empty($_SERVER['HTTPS']) ? 'http' : 'https';
    $page = $scheme . '://' . ($_SERVER['HTTP_HOST'] ?? '') . ($_SERVER['REQUEST_URI'] ?? '/');
    $visitor = [
        'client_ip_address' => $_SERVER['REMOTE_ADDR'] ?? '',
        'client_user_agent' => $_SERVER['HTTP_USER_AGENT'] ?? '',
        'fbp' => $_COOKIE['_fbp'] ?? '',
        'fbc' => $_COOKIE['_fbc'] ?? '',
    ];
    $event = [
        'event_name' => $event_name,
        'event_id' => (string) $event_id,
        'event_time' => time(),
        'action_source' => 'website',
        'event_source_url' => $page,
        'user_data' => array_filter($user_data + $visitor, 'strlen'),
    ];
    if ($custom_data) {
        $event['custom_data'] = $custom_data;
    }
    $request = [
        'method' => 'POST',
        'header' => [
            'Content-Type: application/json',
            'Authorization: Bearer ' . getenv('DOUBLET_ACCESS_TOKEN'),
        ],
        'content' => json_encode(['data' => [$event]], JSON_INVALID_UTF8_SUBSTITUTE),
        'timeout' => 5,
        'ignore_errors' => true,
    ];
    $context = stream_context_create(['http' => $request]);
    $answer = @file_get_contents('@PUBLIC_URL@/v25.0/@PIXEL_ID@/events', false, $context);
    $status = $answer === false ? 'no answer' : $http_response_header[0];
    if (!preg_match('~^HTTP/\S+ 200~', $status)) {
        error_log("Doublet has not taken a $event_name: $status");
        return false;
    }
    return true;
}
