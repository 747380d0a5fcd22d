<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `list_recurring` answers. Generated: do not edit. */
final class ListRecurringResult
{
    /** How many jobs this page holds. */
    public int $count;
    /** How many jobs there are in all. */
    public int $total;
    /** @var list<ListRecurringRecurring> The jobs of this page. */
    public array $recurring;

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
        $result->recurring = array_map([ListRecurringRecurring::class, 'read'], $answer['recurring'] ?? []);

        return $result;
    }
}
