<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `get_user_wallet` answers. Generated: do not edit. */
final class GetUserWalletResult
{
    /** The wallet. */
    public GetUserWalletWallet $wallet;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->wallet = GetUserWalletWallet::read($answer['wallet']);

        return $result;
    }
}
