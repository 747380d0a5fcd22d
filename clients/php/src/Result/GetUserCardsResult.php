<?php

declare(strict_types=1);

namespace Nivisco\Payments\Result;

/** What `get_user_cards` answers. Generated: do not edit. */
final class GetUserCardsResult
{
    /** @var list<GetUserCardsCard> The cards, newest first. */
    public array $cards;

    /**
     * @internal
     *
     * @param array<string, mixed> $answer
     */
    public static function read(array $answer): self
    {
        $result = new self();
        $result->cards = array_map([GetUserCardsCard::class, 'read'], $answer['cards'] ?? []);

        return $result;
    }
}
