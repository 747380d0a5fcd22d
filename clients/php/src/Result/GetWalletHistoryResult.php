<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `get_wallet_history` answers. Generated: do not edit. */
final class GetWalletHistoryResult
{
    /** How many transactions this page holds. */
    public int $count;
    /** How many transactions there are in all. */
    public int $total;
    /** @var list<GetWalletHistoryTransaction> The transactions of this page. */
    public array $transactions;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->count = (int) $answer['count'];
        $result->total = (int) $answer['total'];
        $result->transactions = array_map([GetWalletHistoryTransaction::class, 'read'], $answer['transactions'] ?? []);

        return $result;
    }
}
