<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** The new user's wallet in the business's default environment. Generated: do not edit. */
final class CreateUserWallet
{
    /** The id of the wallet. */
    public string $wallet_id;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->wallet_id = $answer['wallet_id'];

        return $result;
    }
}
