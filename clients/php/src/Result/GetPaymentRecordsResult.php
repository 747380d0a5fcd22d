<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `get_payment_records` answers. Generated: do not edit. */
final class GetPaymentRecordsResult
{
    /** How many payments this page holds. */
    public int $count;
    /** How many payments there are in all. */
    public int $total;
    /** @var list<GetPaymentRecordsPayment> The payments of this page. */
    public array $payments;

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
        $result->payments = array_map([GetPaymentRecordsPayment::class, 'read'], $answer['payments'] ?? []);

        return $result;
    }
}
