<?php
function callNivisco($action, $payload = []) {
  $url = getenv('CLIENT_URL');
  $body = array_merge([
    'business_id' => getenv('CLIENT_BUSINESS_ID'),
    'api_key'     => getenv('CLIENT_API_KEY'),
    'action'      => $action
  ], $payload);

  $ch = curl_init($url);
  curl_setopt_array($ch, [
    CURLOPT_RETURNTRANSFER => true,
    CURLOPT_POST           => true,
    CURLOPT_HTTPHEADER     => ['Content-Type: application/json'],
    CURLOPT_POSTFIELDS     => json_encode($body, JSON_UNESCAPED_SLASHES)
  ]);

  $response = curl_exec($ch);
  if ($response === false) {
    throw new Exception('cURL error: ' . curl_error($ch));
  }
  $status = curl_getinfo($ch, CURLINFO_HTTP_CODE);
  curl_close($ch);

  if ($status < 200 || $status >= 300) {
    throw new Exception('HTTP ' . $status . ': ' . $response);
  }
  return json_decode($response, true);
}

try {
  $res = callNivisco('validate_business');
  print_r($res);
} catch (Exception $e) {
  error_log($e->getMessage());
}
