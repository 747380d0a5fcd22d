<?php

// Saves a test card and charges it: `php vendor/nivisco/client/examples/charge.php`, with the three variables below.

declare(strict_types=1);

use Nivisco\ApiException;
use Nivisco\Client;
use Nivisco\ErrorCode;

require __DIR__ . '/../../../autoload.php';

$nivisco = new Client(getenv('NIVISCO_URL'), getenv('NIVISCO_BUSINESS_ID'), getenv('NIVISCO_API_KEY'));
$user = $nivisco->createUser(['user' => ['name' => 'Alicia Gomez', 'email' => 'alicia@example.com']])->user;
foreach (['pm_card_visa', 'pm_card_chargeCustomerFail'] as $card) {
    $nivisco->createStripeCustomer([
        'user_id' => $user->userId,
        'payment_method_token' => $card,
        'set_as_primary' => true,
    ]);
    try {
        // With the same key the charge takes effect once, however often it is sent.
        $charge = $nivisco->chargeCustomer([
            'user_id' => $user->userId,
            'amount' => '25.50',
            'idempotency_key' => "order-1-$card",
        ]);
        echo "charged $charge->amount $charge->currency\n";
    } catch (ApiException $error) {
        if ($error->errorCode !== ErrorCode::CARD_DECLINED) {
            throw $error;
        }
        echo "declined $error->declineCode\n";
    }
}

foreach ($nivisco->iteratePaymentRecords(['user_id' => $user->userId]) as $payment) {
    echo $payment->createdAt->format(DATE_ATOM), " $payment->amount $payment->status\n";
}
