<?php

// Calls the PHP client as each line says, and prints what came.

declare(strict_types=1);

use Nivisco\Payments\ApiException;
use Nivisco\Payments\Client;
use Nivisco\Payments\NiviscoException;

error_reporting(E_ALL);
spl_autoload_register(static function (string $class): void {
    $path = str_replace(['Nivisco\\Payments\\', '\\'], ['', '/'], $class);
    require __DIR__ . "/../../../clients/php/src/$path.php";
});

$client = new Client(getenv('BUSINESS_ID'), getenv('API_KEY'), getenv('URL'), [
    'timeout' => (float) getenv('TIMEOUT'),
]);
ob_start();
var_dump($client);
print_r($client);
var_export($client);
echo json_encode(['dump' => ob_get_clean()]), "\n";
while (($line = fgets(STDIN)) !== false) {
    $step = json_decode($line, true);
    $method = lcfirst(str_replace('_', '', ucwords($step['action'], '_')));
    try {
        $shown = ['result' => $step['fields'] === [] ? $client->$method() : $client->$method($step['fields'])];
    } catch (NiviscoException $error) {
        $shown = ['error' => [
            'kind' => (new ReflectionClass($error))->getShortName(),
            'message' => $error->getMessage(),
            'idempotency_key' => $error->getIdempotencyKey(),
            'outcome_unknown' => $error->isOutcomeUnknown(),
        ]];
        if ($error instanceof ApiException) {
            $shown['error'] += [
                'status' => $error->getStatus(),
                'code' => $error->getErrorCode(),
                'decline_code' => $error->getDeclineCode(),
                'retry_after' => $error->getRetryAfter(),
                'fields' => $error->getFields(),
            ];
        }
    }
    echo json_encode($shown), "\n";
}
