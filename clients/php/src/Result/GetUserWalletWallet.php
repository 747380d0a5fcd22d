<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** The wallet. Generated: do not edit. */
final class GetUserWalletWallet
{
    /** The id of the wallet. */
    public string $wallet_id;
    /** The user whose wallet it is. */
    public string $user_id;
    /** What the wallet holds. */
    public string $balance;
    /** The currency of the amount, ISO 4217 in lower case, for example `usd`. */
    public string $currency;
    /** When the wallet last changed. */
    public string $updated_at;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->wallet_id = $answer['wallet_id'];
        $result->user_id = $answer['user_id'];
        $result->balance = $answer['balance'];
        $result->currency = $answer['currency'];
        $result->updated_at = $answer['updated_at'];

        return $result;
    }
}
