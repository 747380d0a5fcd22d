<?php

// Reads calls from stdin and makes them with the PHP client.

declare(strict_types=1);

require getenv('COMPOSER_AUTOLOAD') ?: __DIR__ . '/autoload.php';
set_error_handler(static function (int $kind, string $message): bool {
    throw new ErrorException($message, 0, $kind);
});

/** @param mixed $value */
function written($value)
{
    if ($value instanceof Throwable) {
        $kept = array_diff_key(get_object_vars($value), array_flip(['file', 'line', 'code', 'errorCode']));
        $more = [
            'code' => $value->errorCode ?? null,
            'message' => $value->getMessage(),
            'kind' => str_replace('Exception', '', str_replace(['Nivisco\\', 'Api'], ['', 'ApiError'], get_class($value))),
        ];
        return written($kept) + $more;
    }
    if ($value instanceof DateTimeImmutable) {
        return $value->format(DATE_ATOM);
    }
    if ($value instanceof Generator) {
        return ['items' => written(iterator_to_array($value))];
    }
    if (is_object($value)) {
        $value = get_object_vars($value);
    }
    if (!is_array($value)) {
        return $value;
    }
    $made = [];
    foreach ($value as $name => $each) {
        $name = is_int($name) ? $name : strtolower(preg_replace('/[A-Z]/', '_$0', $name));
        $made[$name] = written($each);
    }
    return $made;
}

function shown($value): string
{
    ob_start();
    var_dump($value);
    return ob_get_clean() . print_r($value, true) . ($value instanceof Throwable ? (string) $value : '');
}

function printLine(array $result): void
{
    echo json_encode($result, JSON_THROW_ON_ERROR), "\n";
}

$client = new Nivisco\Client(
    getenv('CLIENT_URL'),
    getenv('CLIENT_BUSINESS_ID'),
    getenv('CLIENT_API_KEY'),
    (float) getenv('CLIENT_TIMEOUT_SECONDS'),
    getenv('CLIENT_ALLOW_PLAIN_HTTP') !== false
);
printLine(['shown' => shown($client)]);
while (($line = fgets(STDIN)) !== false) {
    $call = json_decode($line, true, 512, JSON_THROW_ON_ERROR);
    $fields = $call['fields'];
    if ($call['idempotency_key'] !== null) {
        $fields['idempotency_key'] = $call['idempotency_key'];
    }
    $method = lcfirst(str_replace('_', '', ucwords($call['action'], '_')));
    try {
        $result = $client->$method(...($fields === [] ? [] : [$fields]));
        $shown = shown($result);
        printLine(['result' => written($result), 'shown' => $shown]);
    } catch (Nivisco\NiviscoException $error) {
        printLine(['error' => written($error), 'shown' => shown($error)]);
    }
}
